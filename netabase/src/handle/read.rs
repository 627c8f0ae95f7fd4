//! Local reads: from the newest view, at once.

use super::{Answer, Netabase};
use crate::error::Result;
use crate::schema::{IntoKey, Key, Member, Query, RecordId, Schema};
use crate::storage::{Selecting, View};

impl<S: Schema> Netabase<S> {
    /// The record under this key, as this node knows it now.
    ///
    /// # Errors
    /// [`Error::Codec`](crate::Error::Codec) when the stored value cannot be read,
    /// [`Error::Storage`](crate::Error::Storage) when the disk cannot.
    pub fn get_record<R: Member<S>>(&self, key: impl IntoKey<R::Key>) -> Answer<Option<R>> {
        Answer::ready(self.node.view().and_then(|view| get::<S, R>(&view, &key.into_key())))
    }

    /// The records under these keys, in their order, all as of one moment; `None` where there is none.
    ///
    /// # Errors
    /// As [`Netabase::get_record`].
    pub fn get_records<R: Member<S>>(
        &self,
        keys: impl IntoIterator<Item = impl IntoKey<R::Key>>,
    ) -> Answer<Vec<Option<R>>> {
        let get_all = |view: View| keys.into_iter().map(|key| get::<S, R>(&view, &key.into_key())).collect();
        Answer::ready(self.node.view().and_then(get_all))
    }

    /// The records that a query selects, in its order, all as of one moment.
    ///
    /// # Errors
    /// As [`Netabase::get_record`].
    pub fn query<R: Member<S>>(&self, query: Query<R>) -> Answer<Vec<R>> {
        let select = |view: View| -> Result<Vec<R>> {
            view.select(&query.plan::<S>(), &R::__GLUE)?.map(|row| R::__decode(&row?.value)).collect()
        };
        Answer::ready(self.node.view().and_then(select))
    }

    /// How many records a query selects, without reading them.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage) when the disk cannot be read.
    pub fn count<R: Member<S>>(&self, query: Query<R>) -> Answer<u64> {
        Answer::ready(self.node.view().and_then(|view| view.count(&query.plan::<S>(), &R::__GLUE)))
    }
}

fn get<S: Schema, R: Member<S>>(view: &View, key: &R::Key) -> Result<Option<R>> {
    let value = view.record(RecordId::of_member::<S, R>(), &key.to_bytes())?;
    value.map(|(_round, value)| R::__decode(&value)).transpose()
}
