//! A secret is a type.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text: zeroed on drop, without `Display`; `Debug` prints `[secret]`.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes a text over. It must not have been grown in place before, or copies stay behind.
    pub fn new(text: Box<str>) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text. For the place that writes it to where it belongs, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// In constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        let (one, other) = (self.0.as_bytes(), other.0.as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
    }
}

impl Eq for Secret {}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(text: D) -> Result<Secret, D::Error> {
        Ok(Secret::new(Box::<str>::deserialize(text)?))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
