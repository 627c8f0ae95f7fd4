//! What a query reads, before it is run for its records.

use std::fmt;
use std::ops::Bound;

use super::origin::{Origin, at};
use super::{Answer, Netabase};
use crate::schema::{Key, KeyForm, Member, Plan, Query, Schema, shown, successor};
use crate::storage::Selecting;

/// What a query touches. Made by [`Netabase::explain`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explain {
    /// The stored name of the record type.
    pub record: String,
    /// The index that is read, or `None` when the records are read in the order of their keys.
    pub index: Option<&'static str>,
    /// Which keys, or values of the index, for people to read.
    pub range: String,
    /// Whether it is read from the end.
    pub reverse: bool,
    /// The most records that it gives.
    pub limit: Option<usize>,
    /// Rows of the records, or of the index, that are read one after the other. No other row is looked at in between.
    pub rows: u64,
    /// Records that are then looked up by their key, one by one: as many as rows of an index.
    pub lookups: u64,
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => write!(f, "`{}` by key", self.record)?,
            Some(index) => write!(f, "`{}` by index `{index}`", self.record)?,
        }
        write!(f, ", {}", self.range)?;
        if self.reverse {
            f.write_str(", from the end")?;
        }
        if let Some(limit) = self.limit {
            write!(f, ", at most {limit}")?;
        }
        write!(f, ": {} rows", self.rows)?;
        if self.index.is_some() {
            write!(f, " of the index, and {} lookups of records", self.lookups)?;
        }
        Ok(())
    }
}

impl<S: Schema> Netabase<S> {
    /// Says which rows a query touches: what it reads in order, and what it looks up one by one.
    ///
    /// It counts the rows, which for an index reads no record.
    ///
    /// # Errors
    /// As [`Netabase::count`].
    ///
    /// ```
    /// # use netabase::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    /// # struct Account { #[netabase(key)] id: u64, #[netabase(index)] city: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> netabase::Result<()> {
    /// # let directory = tempfile::tempdir().expect("a temporary directory");
    /// # let db = Netabase::<Account>::start().data_dir(directory.path()).await?;
    /// db.put_record(Account { id: 7, city: "Paris".into() }).await?;
    /// let explain = db.explain(Account::by_city("Paris").limit(10)).await?;
    /// assert_eq!((explain.rows, explain.lookups), (1, 1));
    /// assert_eq!(
    ///     explain.to_string(),
    ///     "`account` by index `city`, exactly \"Paris\", at most 10: 1 rows of the index, and 1 lookups of records"
    /// );
    /// # db.shutdown().await
    /// # }
    /// ```
    pub fn explain<R: Member<S>>(&self, query: Query<R>) -> Answer<Explain> {
        let plan = query.plan::<S>();
        match &self.origin {
            Origin::Here(node) => {
                let rows = node.view().and_then(|view| view.count(&plan, &R::__GLUE));
                Answer::ready(rows.map(|rows| explain::<S, R>(&query, &plan, rows)))
            }
            Origin::There(client) => {
                let client = at(client);
                Answer::pending(async move {
                    let rows = client.count(plan.clone()).await?;
                    Ok(explain::<S, R>(&query, &plan, rows))
                })
            }
        }
    }
}

fn explain<S: Schema, R: Member<S>>(query: &Query<R>, plan: &Plan, rows: u64) -> Explain {
    let index = query.index().and_then(|name| R::__GLUE.indexes.iter().find(|index| index.name == name));
    let form = index.map_or_else(R::Key::form, |index| (index.form)());
    Explain {
        record: R::__NAME.to_owned(),
        index: query.index(),
        range: range(&form, plan),
        reverse: plan.reverse,
        limit: plan.limit,
        rows,
        lookups: if index.is_some() { rows } else { 0 },
    }
}

fn range(form: &KeyForm, plan: &Plan) -> String {
    let key = |bytes: &[u8]| shown(form, bytes);
    let mut range = match (&plan.lower, &plan.upper) {
        (Bound::Unbounded, Bound::Unbounded) => "all".to_owned(),
        (Bound::Included(lower), Bound::Included(upper)) if lower == upper => format!("exactly {}", key(lower)),
        // The start of every key, of `starts_with("")`.
        (Bound::Included(lower), Bound::Unbounded) if lower.is_empty() => "all".to_owned(),
        (Bound::Included(lower), upper) if *upper == successor(lower.clone()) => match key(lower) {
            part if part.ends_with('…') => format!("beginning with {part}"),
            whole => format!("exactly {whole}"),
        },
        (Bound::Included(lower), Bound::Excluded(upper)) if lower >= upper => "nothing".to_owned(),
        (lower, upper) => {
            let lower = match lower {
                Bound::Unbounded => String::new(),
                Bound::Included(lower) => format!("from {}", key(lower)),
                Bound::Excluded(lower) => format!("above {}", key(lower)),
            };
            let upper = match upper {
                Bound::Unbounded => String::new(),
                Bound::Included(upper) => format!("up to {}", key(upper)),
                Bound::Excluded(upper) => format!("below {}", key(upper)),
            };
            [lower, upper].into_iter().filter(|bound| !bound.is_empty()).collect::<Vec<_>>().join(" ")
        }
    };
    if plan.after.is_some() {
        range.push_str(", going on behind a record");
    }
    range
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::schema::{Record, leading, starts_with};
    use crate::{IntoSelection, NetabaseSchema};

    #[derive(Clone, Debug, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(crate = "crate", index(name = "by_city_amount", fields(city, amount)))]
    struct Entry {
        #[netabase(key)]
        account: String,
        #[netabase(key)]
        seq: u32,
        #[netabase(index)]
        city: String,
        #[netabase(index)]
        amount: Option<i16>,
    }

    fn by_key(query: &Query<Entry>) -> String {
        range(&EntryKey::form(), &query.plan::<Entry>())
    }

    fn by_city(selection: impl IntoSelection<EntryByCityKey>) -> String {
        range(&EntryByCityKey::form(), &Entry::by_city(selection).plan::<Entry>())
    }

    fn by_amount(selection: impl IntoSelection<EntryByAmountKey>) -> String {
        range(&EntryByAmountKey::form(), &Entry::by_amount(selection).plan::<Entry>())
    }

    #[test]
    fn ranges_read_as_they_were_asked_for() {
        let between = |keys: std::ops::Range<(&str, u32)>| by_key(&Entry::range(keys));
        assert_eq!(by_key(&Entry::all()), "all");
        assert_eq!(by_key(&Entry::range(..)), "all");
        assert_eq!(between(("a", 1)..("b", 2)), "from \"a\"/1 below \"b\"/2");
        assert_eq!(between(("b", 1)..("a", 2)), "nothing");
        // One key, whichever way it was said.
        assert_eq!(between(("a", 1)..("a", 2)), "exactly \"a\"/1");
        assert_eq!(by_key(&Entry::prefix(("a", 1))), "exactly \"a\"/1");
        assert_eq!(by_key(&Entry::prefix("a")), "beginning with \"a\"/…");
        assert_eq!(by_city("Paris"), "exactly \"Paris\"");
        assert_eq!(by_city(starts_with("Par")), "beginning with \"Par\"…");
        assert_eq!(by_city(starts_with("")), "all");
        assert_eq!(by_city(..="Rome"), "up to \"Rome\"");
        assert_eq!(
            (by_amount(-3), by_amount(-3..), by_amount(..5)),
            ("exactly -3".into(), "from -3".into(), "below 5".into())
        );
        let by_both = |query: Query<Entry>| range(&EntryByCityAmountKey::form(), &query.plan::<Entry>());
        assert_eq!(by_both(Entry::by_city_amount(leading("Paris"))), "beginning with \"Paris\"/…");
        assert_eq!(by_both(Entry::by_city_amount(("Paris", None::<i16>))), "exactly \"Paris\"/none");
        let after = Entry::all().after(("a", 1));
        assert_eq!(by_key(&after), "all, going on behind a record");
    }
}
