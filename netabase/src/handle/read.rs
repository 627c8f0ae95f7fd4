//! Local reads: from the newest view, at once; or from that of the member.

use bytes::Bytes;

use super::origin::{Origin, at};
use super::{Answer, Netabase};
use crate::error::Result;
use crate::schema::{IntoKey, Key, Member, Query, Record, RecordId, Schema};
use crate::storage::{Selecting, View};

impl<S: Schema> Netabase<S> {
    /// The record under this key, as this node knows it now.
    ///
    /// # Errors
    /// [`Error::Codec`](crate::Error::Codec) when the stored value cannot be read,
    /// [`Error::Storage`](crate::Error::Storage) when the disk cannot.
    pub fn get_record<R: Member<S>>(&self, key: impl IntoKey<R::Key>) -> Answer<Option<R>> {
        let client = match &self.origin {
            Origin::Here(node) => {
                return Answer::ready(node.view().and_then(|view| get::<S, R>(&view, &key.into_key())));
            }
            Origin::There(client) => at(client),
        };
        let key = key.into_key().to_bytes();
        Answer::pending(async move {
            let values = client.get(RecordId::of_member::<S, R>(), vec![key]).await?;
            decode(values.into_iter().next().flatten())
        })
    }

    /// The records under these keys, in their order, all as of one moment; `None` where there is none.
    ///
    /// # Errors
    /// As [`Netabase::get_record`].
    pub fn get_records<R: Member<S>>(
        &self,
        keys: impl IntoIterator<Item = impl IntoKey<R::Key>>,
    ) -> Answer<Vec<Option<R>>> {
        let client = match &self.origin {
            Origin::Here(node) => {
                let get_all = |view: View| keys.into_iter().map(|key| get::<S, R>(&view, &key.into_key())).collect();
                return Answer::ready(node.view().and_then(get_all));
            }
            Origin::There(client) => at(client),
        };
        let keys = keys.into_iter().map(|key| key.into_key().to_bytes()).collect();
        Answer::pending(async move {
            let values = client.get(RecordId::of_member::<S, R>(), keys).await?;
            values.into_iter().map(decode).collect()
        })
    }

    /// The records that a query selects, in its order, all as of one moment.
    ///
    /// # Errors
    /// As [`Netabase::get_record`].
    pub fn query<R: Member<S>>(&self, query: Query<R>) -> Answer<Vec<R>> {
        let select = |view: View| -> Result<Vec<R>> {
            view.select(&query.plan::<S>(), &R::__GLUE)?.map(|row| R::__decode(&row?.value)).collect()
        };
        let client = match &self.origin {
            Origin::Here(node) => return Answer::ready(node.view().and_then(select)),
            Origin::There(client) => at(client),
        };
        let plan = query.plan::<S>();
        Answer::pending(async move { client.query(plan).await?.iter().map(|value| R::__decode(value)).collect() })
    }

    /// How many records a query selects, without reading them.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage) when the disk cannot be read.
    pub fn count<R: Member<S>>(&self, query: Query<R>) -> Answer<u64> {
        let plan = query.plan::<S>();
        match &self.origin {
            Origin::Here(node) => Answer::ready(node.view().and_then(|view| view.count(&plan, &R::__GLUE))),
            Origin::There(client) => {
                let client = at(client);
                Answer::pending(async move { client.count(plan).await })
            }
        }
    }
}

fn get<S: Schema, R: Member<S>>(view: &View, key: &R::Key) -> Result<Option<R>> {
    let value = view.record(RecordId::of_member::<S, R>(), &R::__GLUE, &key.to_bytes())?;
    value.map(|(_round, value)| R::__decode(&value)).transpose()
}

fn decode<R: Record>(value: Option<Bytes>) -> Result<Option<R>> {
    value.map(|value| R::__decode(&value)).transpose()
}
