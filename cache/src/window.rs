//! A window as readers see it: its bounds, and numbers by the names of fields.

use std::collections::BTreeMap;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use tidegate_model::Window;
use tidegate_model::row::CacheView;

/// A cached number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Number {
    /// A whole number.
    UInt(u64),
    /// A finite number.
    Float(f64),
}

/// Numbers by the names of their fields, such as `page_view.count`.
pub type Fields = BTreeMap<Box<str>, Number>;

/// A window with what it holds. In JSON it is one flat object: `window_start` in milliseconds, then the
/// fields (contract section 6).
#[derive(Clone, Debug, PartialEq)]
pub struct CachedWindow {
    /// Its bounds.
    pub window: Window,
    /// The fields, by name.
    pub fields: Fields,
}

impl CachedWindow {
    /// A window without any field.
    pub fn empty(window: Window) -> Self {
        Self { window, fields: Fields::new() }
    }

    /// Sets the fields of `label` to `values`, one for each of [`CacheView::fields`].
    pub(crate) fn put(&mut self, view: &CacheView, label: &str, values: &[Number]) {
        for ((_, suffix), value) in view.fields.iter().zip(values) {
            self.fields.insert(field(label, suffix), *value);
        }
    }

    /// Takes the fields of `label` away.
    pub(crate) fn remove(&mut self, view: &CacheView, label: &str) {
        for (_, suffix) in view.fields {
            self.fields.remove(&*field(label, suffix));
        }
    }
}

impl Serialize for CachedWindow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + 1))?;
        map.serialize_entry("window_start", &self.window.start.as_millis())?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The name of a field.
fn field(label: &str, suffix: &str) -> Box<str> {
    format!("{label}.{suffix}").into()
}
