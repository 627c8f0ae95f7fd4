//! Many records at once: each part one sync of the disk.

use super::{Inner, Store, Writer, encode};
use crate::command::Write;
use crate::error::{Error, Result};
use crate::receipt::Receipt;
use crate::schema::{Member, RecordId, Schema};

/// What is written with one sync.
const PART_RECORDS: u64 = 16_384;
const PART_BYTES: usize = 16 << 20;

impl<S: Schema> Store<S> {
    /// Stores any number of records, thousands with one sync of the disk; not atomically, in constant memory.
    ///
    /// # Errors
    /// [`Error::Batch`]: which record failed first, why, and how many are in, which are all before it.
    pub fn put_records<R: Member<S>>(&self, records: impl IntoIterator<Item = R>) -> Result<Receipt> {
        let mut all = Part { done: 0, last: Receipt::nothing(), error: None, ended: false };
        let mut records = records.into_iter();
        while !all.ended {
            let mut writer = self.inner.writer()?;
            if let Err(source) = self.inner.expire(&mut writer) {
                return Err(Error::Batch { applied: all.done, index: all.done, source: Box::new(source) });
            }
            let part = self.inner.write_part::<S, R>(&mut writer, &mut records);
            // Of a part that stops early, what came before is kept.
            if let Err(source) = writer.flush() {
                return Err(Error::Batch { applied: all.done, index: all.done, source: Box::new(source) });
            }
            let last = if part.done > 0 { part.last } else { all.last };
            all = Part { done: all.done + part.done, last, ..part };
            if let Some(source) = all.error {
                return Err(Error::Batch { applied: all.done, index: all.done, source: Box::new(source) });
            }
        }
        Ok(all.last)
    }
}

/// How far a part came.
struct Part {
    done: u64,
    last: Receipt,
    error: Option<Error>,
    /// There are no more records.
    ended: bool,
}

impl Inner {
    fn write_part<S: Schema, R: Member<S>>(&self, writer: &mut Writer, records: &mut impl Iterator<Item = R>) -> Part {
        let round = writer.store.applied() + 1;
        let mut draft = writer.store.draft();
        let mut part = Part { done: 0, last: Receipt::nothing(), error: None, ended: false };
        let mut bytes = 0;
        while part.done < PART_RECORDS && bytes < PART_BYTES {
            let Some(record) = records.next() else {
                part.ended = true;
                break;
            };
            let written = encode::<S, R>(&record).and_then(|value| {
                bytes += value.len();
                let write = Write::Put { record: RecordId::of_member::<S, R>(), value };
                let (rows, outcome) = self.rule.apply(&draft, &self.versions, &write, round)?;
                let applied = outcome.map_err(|refusal| refusal.into_error(&self.catalog))?;
                draft.write(rows);
                Ok(applied)
            });
            match written {
                Ok(applied) => {
                    part.done += 1;
                    part.last = Receipt::local(applied);
                }
                Err(error) => {
                    part.error = Some(error);
                    break;
                }
            }
        }
        if part.done > 0
            && let Err(error) = draft.install(round)
        {
            part = Part { done: 0, last: Receipt::nothing(), ended: true, error: Some(error) };
        }
        part
    }
}
