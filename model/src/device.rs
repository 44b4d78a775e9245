//! The device category of an event, read off its user agent (contract section 3).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of device that sent an event. The order is the order of the names, because a session's
/// category is the largest by name of those of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum DeviceCategory {
    /// The user agent contains `Bot`.
    Bot = 0,
    /// None of the words is in it.
    Desktop = 1,
    /// The user agent contains `Mobile`; that outranks the other two words.
    Mobile = 2,
    /// The user agent contains `Tablet`.
    Tablet = 3,
}

impl DeviceCategory {
    /// Every category, in order.
    pub const ALL: [Self; 4] = [Self::Bot, Self::Desktop, Self::Mobile, Self::Tablet];

    /// Reads the category off a user agent; upper and lower case matter.
    pub fn from_user_agent(user_agent: &str) -> Self {
        if user_agent.contains("Mobile") {
            Self::Mobile
        } else if user_agent.contains("Tablet") {
            Self::Tablet
        } else if user_agent.contains("Bot") {
            Self::Bot
        } else {
            Self::Desktop
        }
    }

    /// The category of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == name)
    }

    /// The name in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "Bot",
            Self::Desktop => "Desktop",
            Self::Mobile => "Mobile",
            Self::Tablet => "Tablet",
        }
    }
}

impl fmt::Display for DeviceCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_of_the_list_wins() {
        for (user_agent, category) in [
            ("Mozilla/5.0 (iPhone) Mobile/15E148 Bot Tablet", DeviceCategory::Mobile),
            ("a Tablet with a Bot", DeviceCategory::Tablet),
            ("SomeBot/1.0", DeviceCategory::Bot),
            ("Googlebot/2.1", DeviceCategory::Desktop),
            ("", DeviceCategory::Desktop),
        ] {
            assert_eq!(DeviceCategory::from_user_agent(user_agent), category, "{user_agent}");
        }
    }

    #[test]
    fn categories_order_as_their_names() {
        let names = DeviceCategory::ALL.map(DeviceCategory::as_str);
        assert!(names.is_sorted());
    }
}
