//! One ordered run over the layers of a view: the merge of two overlays and a snapshot.
//!
//! At each key the uppermost layer that has it decides; a removed row yields nothing.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound;

use bytes::Bytes;
use imbl::shared_ptr::DefaultSharedPtr;

use super::engine::{self, is_empty_range};
use super::view::{Layers, Overlay};
use crate::Error;

/// Rows in key order, or in reverse. Ends after the first error.
pub(crate) struct Scan<'a> {
    active: Option<Cursor<'a>>,
    flushing: Option<Cursor<'a>>,
    base: Option<engine::Rows<'a>>,
    base_head: Option<(Bytes, Bytes)>,
    reverse: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn over(
        layers: &'a Layers,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Self, Error> {
        if is_empty_range(lower, upper) {
            return Ok(Scan {
                active: None,
                flushing: None,
                base: None,
                base_head: None,
                reverse,
            });
        }
        let cursor = |rows: &'a Overlay| Cursor::over(rows, lower, upper, reverse);
        let mut scan = Scan {
            active: cursor(&layers.active),
            flushing: layers.flushing.as_ref().and_then(cursor),
            base: Some(layers.base.scan(lower, upper, reverse)?),
            base_head: None,
            reverse,
        };
        scan.advance_base()?;
        Ok(scan)
    }

    fn advance_base(&mut self) -> Result<(), Error> {
        self.base_head = self.base.as_mut().and_then(Iterator::next).transpose()?;
        Ok(())
    }

    fn next_row(&mut self) -> Result<Option<(Bytes, Bytes)>, Error> {
        loop {
            let reverse = self.reverse;
            let order = |ours: &Bytes, theirs: &Bytes| {
                if reverse {
                    theirs.cmp(ours)
                } else {
                    ours.cmp(theirs)
                }
            };
            // How the overlays' next key compares with the base's; the upper overlay wins a tie.
            let overlay = match (&mut self.active, &mut self.flushing) {
                (Some(active), Some(flushing)) => match order(active.key(), flushing.key()) {
                    Ordering::Less => &mut self.active,
                    Ordering::Greater => &mut self.flushing,
                    Ordering::Equal => {
                        self.flushing = self.flushing.take().and_then(Cursor::advanced);
                        &mut self.active
                    }
                },
                (Some(_), None) => &mut self.active,
                (None, _) => &mut self.flushing,
            };
            let Some(cursor) = overlay.take() else {
                let row = self.base_head.take();
                if row.is_some() {
                    self.advance_base()?;
                }
                return Ok(row);
            };
            let against_base = self
                .base_head
                .as_ref()
                .map_or(Ordering::Less, |(base_key, _)| {
                    order(cursor.key(), base_key)
                });
            if against_base == Ordering::Greater {
                *overlay = Some(cursor);
                let row = self.base_head.take();
                self.advance_base()?;
                return Ok(row);
            }
            let (key, value) = cursor.head;
            *overlay = cursor.advanced();
            if against_base == Ordering::Equal {
                self.advance_base()?;
            }
            if let Some(value) = value {
                return Ok(Some((key.clone(), value.clone())));
            }
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Bytes, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next_row();
        if row.is_err() {
            (self.active, self.flushing, self.base, self.base_head) = (None, None, None, None);
        }
        row.transpose()
    }
}

impl fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("reverse", &self.reverse)
            .finish_non_exhaustive()
    }
}

/// A place in an overlay that has a row there.
struct Cursor<'a> {
    head: (&'a Bytes, &'a Option<Bytes>),
    rest: imbl::ordmap::RangedIter<'a, Bytes, Option<Bytes>, DefaultSharedPtr>,
    reverse: bool,
}

impl<'a> Cursor<'a> {
    fn over(
        rows: &'a Overlay,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Option<Self> {
        let mut rest = rows.range::<_, [u8]>((lower, upper));
        let head = if reverse {
            rest.next_back()
        } else {
            rest.next()
        }?;
        Some(Cursor {
            head,
            rest,
            reverse,
        })
    }

    fn advanced(mut self) -> Option<Self> {
        self.head = if self.reverse {
            self.rest.next_back()
        } else {
            self.rest.next()
        }?;
        Some(self)
    }

    fn key(&self) -> &'a Bytes {
        self.head.0
    }
}
