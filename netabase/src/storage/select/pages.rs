//! `Pages`: a plan read page by page, each from a view of its own.
//!
//! Must hold: a page goes on exactly behind the last row that was looked at for the one before, by that row's place and not
//! by its record, which may be gone or have moved; nothing comes after an error. One without rows need not be the last. Read
//! by the handle's streams.

use std::collections::VecDeque;

use super::{Row, Selecting};
use crate::Error;
use crate::schema::{After, Plan, RecordGlue};

/// What a page holds at most; of larger records one at least.
pub(crate) const PAGE_ROWS: usize = 256;
pub(crate) const PAGE_BYTES: usize = 1 << 20;
/// After how many records that are not shown, since they have expired, it ends, even with none that is.
pub(crate) const PAGE_HIDDEN: usize = 4_096;

/// What is left to read of a plan.
#[derive(Debug)]
pub(crate) struct Pages {
    /// Goes on behind the last row that was read.
    plan: Plan,
    /// How many rows it may still give.
    left: usize,
    ended: bool,
}

impl Pages {
    pub(crate) fn of(plan: Plan) -> Pages {
        let left = plan.limit.unwrap_or(usize::MAX);
        Pages { plan, left, ended: left == 0 }
    }

    /// Whether there is no other page.
    pub(crate) fn have_ended(&self) -> bool {
        self.ended
    }

    /// Behind which place the next page goes on, if there is one.
    pub(crate) fn next(&self) -> Option<&After> {
        self.plan.after.as_ref().filter(|_| !self.ended)
    }

    /// There is to be no other page.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next page, with the error that ended it behind its rows.
    pub(crate) fn read<S: Selecting>(&mut self, source: &S, glue: &RecordGlue) -> VecDeque<Result<Row, Error>> {
        let mut page = VecDeque::new();
        if let Err(error) = self.read_into(&mut page, source, glue) {
            self.ended = true;
            page.push_back(Err(error));
        }
        page
    }

    fn read_into<S: Selecting>(
        &mut self,
        page: &mut VecDeque<Result<Row, Error>>,
        source: &S,
        glue: &RecordGlue,
    ) -> Result<(), Error> {
        let rows_max = self.left.min(PAGE_ROWS);
        self.plan.limit = Some(rows_max);
        let mut bytes = 0;
        let mut rows = source.select(&self.plan, glue)?.within_a_page();
        for row in rows.by_ref() {
            let row = row?;
            bytes += row.value.len();
            page.push_back(Ok(row));
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        self.left -= page.len();
        let cut = rows.cut().cloned();
        self.ended = self.left == 0 || (cut.is_none() && page.len() < rows_max && bytes < PAGE_BYTES);
        let last = page.back().and_then(|row| row.as_ref().ok());
        if let Some(after) = cut.or_else(|| last.map(Row::place)) {
            self.plan.after = Some(after);
        }
        Ok(())
    }
}
