//! A number as Redis holds it: text that JSON takes for the same number, and that says of which kind it is.

use crate::window::Number;

/// The text of a number. One with a fraction or an exponent is a [`Number::Float`].
pub(super) fn text(number: Number) -> String {
    match number {
        Number::UInt(number) => number.to_string(),
        Number::Float(number) => format!("{number:?}"),
    }
}

/// The number of a text; `None` when it is none, or is not finite.
pub(super) fn number(text: &str) -> Option<Number> {
    if let Ok(number) = text.parse() {
        return Some(Number::UInt(number));
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Float)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "?", "NaN", "inf", "1e999", "1 2"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back_as_they_went_in(uint: u64, float: f64) {
            for value in [Number::UInt(uint), Number::Float(float)] {
                let written = text(value);
                prop_assert_eq!(number(&written), Some(value));
                prop_assert!(serde_json::from_str::<serde_json::Number>(&written).is_ok(), "{}", written);
            }
        }
    }
}
