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
        let mut last = Receipt::nothing();
        let mut records = records.into_iter();
        let mut index = 0;
        loop {
            let mut writer = self.inner.writer()?;
            let part = self.inner.write_part::<S, R>(&mut writer, &mut records);
            // Of a part that stops early, what came before is kept.
            let flushed = writer.flush();
            match (part, flushed) {
                (_, Err(source)) => return Err(Error::Batch { applied: index, index, source: Box::new(source) }),
                (Part { done, receipt, error: Some(source), .. }, Ok(())) => {
                    let (_, applied) = (receipt, index + done);
                    return Err(Error::Batch { applied, index: applied, source: Box::new(source) });
                }
                (Part { done, receipt, ended, error: None }, Ok(())) => {
                    index += done;
                    last = receipt.unwrap_or(last);
                    if ended {
                        return Ok(last);
                    }
                }
            }
        }
    }
}

/// How far a part came.
struct Part {
    done: u64,
    receipt: Option<Receipt>,
    /// There are no more records.
    ended: bool,
    error: Option<Error>,
}

impl Inner {
    fn write_part<S: Schema, R: Member<S>>(&self, writer: &mut Writer, records: &mut impl Iterator<Item = R>) -> Part {
        let round = writer.store.applied() + 1;
        let mut draft = writer.store.draft();
        let mut part = Part { done: 0, receipt: None, ended: false, error: None };
        let mut bytes = 0;
        while part.done < PART_RECORDS && bytes < PART_BYTES {
            let Some(record) = records.next() else {
                part.ended = true;
                break;
            };
            let written = encode::<S, R>(&record).and_then(|value| {
                bytes += value.len();
                let write = Write::Put { record: RecordId::of_member::<S, R>(), value };
                let (rows, outcome) = self.rule.apply(&draft, &write, round)?;
                let applied = outcome.map_err(|refusal| refusal.into_error(&self.catalog))?;
                draft.write(rows);
                Ok(applied)
            });
            match written {
                Ok(applied) => {
                    part.done += 1;
                    part.receipt = Some(Receipt::local(applied));
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
            part = Part { done: 0, receipt: None, ended: true, error: Some(error) };
        }
        part
    }
}
