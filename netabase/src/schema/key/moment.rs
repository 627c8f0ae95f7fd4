//! Dates and times of other crates as keys: each by a form that sorts as they do, and back.

/// `Key`, and what queries need, of types by the key type that they are stored as. Uses what is imported around it.
macro_rules! moments {
    ($($t:ty: $form:ty, $to:expr, $from:expr;)*) => { $(
        #[diagnostic::do_not_recommend]
        impl Key for $t {
            fn encode(&self, out: &mut Vec<u8>) {
                let to: fn(&Self) -> $form = $to;
                to(self).encode(out);
            }
            fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
                let from: fn($form) -> Option<Self> = $from;
                from(<$form>::decode(input)?).ok_or(KeyError::Malformed)
            }
            fn form() -> KeyForm {
                <$form>::form()
            }
            fn show(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
            native_key!();
            serde_key!();
        }
        itself! { $t }
        values! { [] $t; }
    )* };
}
pub(super) use moments;
