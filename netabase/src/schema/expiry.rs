//! When records expire: the field that `#[netabase(ttl = "…")]` names, as milliseconds since 1970.
//!
//! Must hold: it is an index like any other, under a name that no user can write, so that its rows follow the record's
//! through writes, versions and checks, and the records that are due are a range of it. A record has expired from that
//! millisecond on, never before.

use std::time::{SystemTime, UNIX_EPOCH};

use super::catalog::IndexId;
use super::key::{Key, KeyForm};
use super::record::{IndexGlue, RecordGlue};

/// The name of the index over it.
#[doc(hidden)]
pub const EXPIRY: &str = "(expiry)";

/// The layout of its keys, which says of which field they are made: peers must agree on that.
#[doc(hidden)]
#[must_use]
pub fn expiry_form(field: &str) -> KeyForm {
    KeyForm::Fields(vec![(field.to_owned(), u64::form())])
}

/// What can say when a record expires: the type of the field that `ttl` names. A `SystemTime`, a `u64` of milliseconds since
/// 1970, or an `Option` of either: `None` never expires.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use netabase::prelude::*;
/// use netabase::store::Store;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
/// #[netabase(ttl = "expires")]
/// struct Login {
///     #[netabase(key)]
///     id: u64,
///     expires: SystemTime,
/// }
///
/// # fn main() -> netabase::Result<()> {
/// let logins = Store::<Login>::open("", StoreKind::Memory)?;
/// let now = SystemTime::now();
/// logins.put_record(Login { id: 1, expires: now + Duration::from_secs(3_600) })?;
/// logins.put_record(Login { id: 2, expires: now - Duration::from_secs(1) })?;
/// assert_eq!(logins.get_record::<Login>(2)?, None);
/// assert_eq!(logins.count(Login::all())?, 1);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say when a record expires",
    label = "the field of `ttl` is a `SystemTime`, a `u64` of milliseconds since 1970, or an `Option` of one of these",
    note = "a duration says nothing by itself: store the instant, such as `SystemTime::now() + Duration::from_secs(60)`"
)]
pub trait Expiry {
    /// Milliseconds since 1970, rounded up; `None`: never.
    #[doc(hidden)]
    fn __expires_at_ms(&self) -> Option<u64>;

    #[doc(hidden)]
    fn __expiry_key(&self) -> Option<Vec<u8>> {
        self.__expires_at_ms().map(|expires_at_ms| expires_at_ms.to_bytes())
    }
}

impl Expiry for u64 {
    fn __expires_at_ms(&self) -> Option<u64> {
        Some(*self)
    }
}

impl Expiry for SystemTime {
    fn __expires_at_ms(&self) -> Option<u64> {
        // Before 1970 is as long over as 1970 is.
        let since = self.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

impl Expiry for Option<u64> {
    fn __expires_at_ms(&self) -> Option<u64> {
        self.as_ref().and_then(Expiry::__expires_at_ms)
    }
}

impl Expiry for Option<SystemTime> {
    fn __expires_at_ms(&self) -> Option<u64> {
        self.as_ref().and_then(Expiry::__expires_at_ms)
    }
}

/// The key of the index that stands for this instant.
pub(crate) fn expiry_key(expires_at_ms: u64) -> [u8; 8] {
    expires_at_ms.to_be_bytes()
}

/// The instant that a key of the index stands for; `None`: it is none of this index.
pub(crate) fn expiry_of_key(index_key: &[u8]) -> Option<u64> {
    index_key.try_into().ok().map(u64::from_be_bytes)
}

impl IndexId {
    /// Of the index over the instants.
    pub(crate) fn expiry() -> IndexId {
        IndexId::named(EXPIRY)
    }
}

impl IndexGlue {
    pub(crate) fn is_expiry(&self) -> bool {
        self.name == EXPIRY
    }
}

impl RecordGlue {
    /// Whether records expire, in any version.
    pub(crate) fn expires(&self) -> bool {
        self.versions().any(|glue| glue.indexes.iter().any(IndexGlue::is_expiry))
    }

    /// Whether the record of a stored value has expired by then, as the version says in which it is stored. What cannot be
    /// read back has not: whoever reads it is told so.
    pub(crate) fn has_expired(&self, value: &[u8], now_ms: u64) -> bool {
        let expires_at_ms = self.rows_as_stored(value).ok().and_then(|(stored, rows)| {
            let position = stored.indexes.iter().position(IndexGlue::is_expiry)?;
            expiry_of_key(rows.index_keys.into_iter().nth(position)??.as_slice())
        });
        expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::schema::{Catalog, Record, Schema};

    /// The same stored bytes, and another meaning.
    macro_rules! logins {
        ($($module:ident $(ttl $ttl:tt)?),*) => { $(
            mod $module {
                use super::*;

                #[derive(Clone, Serialize, Deserialize, crate::NetabaseSchema)]
                #[netabase(crate = "crate" $(, ttl = $ttl)?)]
                pub(super) struct Login {
                    #[netabase(key)]
                    pub(super) id: u64,
                    pub(super) until: u64,
                    pub(super) at_most: u64,
                }
            }
        )* };
    }

    logins! { lasting, until ttl "until", at_most ttl "at_most" }

    #[test]
    fn which_field_says_it_is_part_of_the_schema() {
        fn descriptor<S: Schema>() -> crate::schema::Descriptor {
            Catalog::of::<S>().expect("a schema").descriptor().clone()
        }
        let all = [descriptor::<lasting::Login>(), descriptor::<until::Login>(), descriptor::<at_most::Login>()];
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let difference = all[one].check(&all[other]).expect_err("they do not mean the same");
            assert!(difference.to_string().contains(EXPIRY), "{difference}");
        }
    }

    #[test]
    fn a_value_tells_whether_it_has_expired() {
        let value = until::Login { id: 1, until: 7, at_most: 9 }.__encode().expect("it encodes");
        let expired = |glue: RecordGlue, now_ms| glue.has_expired(&value, now_ms);
        assert!(!expired(until::Login::__GLUE, 6) && expired(until::Login::__GLUE, 7));
        assert!(!expired(at_most::Login::__GLUE, 8) && expired(at_most::Login::__GLUE, 9));
        assert!(!expired(lasting::Login::__GLUE, u64::MAX));
        assert!(until::Login::__GLUE.expires() && !lasting::Login::__GLUE.expires());
        assert!(!until::Login::__GLUE.has_expired(&value[..3], u64::MAX), "its reader is told");
    }

    #[test]
    fn an_instant_is_rounded_up_to_milliseconds_that_fit() {
        let at = |nanos: u64| (UNIX_EPOCH + Duration::from_nanos(nanos)).__expires_at_ms();
        assert_eq!((at(0), at(1), at(1_000_000), at(1_000_001)), (Some(0), Some(1), Some(1), Some(2)));
        assert_eq!((UNIX_EPOCH - Duration::from_secs(1)).__expires_at_ms(), Some(0));
        let latest = UNIX_EPOCH.checked_add(Duration::from_secs(i64::MAX as u64 / 2)).expect("it is a time");
        assert_eq!(latest.__expires_at_ms(), Some(u64::MAX));
        assert_eq!((7_u64.__expires_at_ms(), Some(7_u64).__expires_at_ms()), (Some(7), Some(7)));
        assert_eq!((None::<u64>.__expires_at_ms(), None::<SystemTime>.__expires_at_ms()), (None, None));
        assert_eq!(7_u64.__expiry_key().as_deref().and_then(expiry_of_key), Some(7));
    }
}
