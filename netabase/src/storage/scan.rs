//! One ordered run over the layers of a view: the merge of two overlays and a snapshot.
//!
//! At each key the uppermost layer that has it decides; a removed row yields nothing.

use std::cmp::Ordering;
use std::collections::btree_map;
use std::fmt;
use std::ops::Bound;

use bytes::Bytes;
use imbl::shared_ptr::DefaultSharedPtr;

use super::engine::{self, is_empty_range};
use super::view::{Layers, Overlay, Pending};
use crate::Error;

/// Rows in key order, or in reverse. Ends after the first error.
pub(crate) struct Scan<'a> {
    /// A round's own rows, `active`, `flushing`: the uppermost first.
    overlays: [Option<Cursor<'a>>; 3],
    base: Option<engine::Rows<'a>>,
    base_head: Option<(Bytes, Bytes)>,
    reverse: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn over(
        pending: Option<&'a Pending>,
        layers: &'a Layers,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Self, Error> {
        let mut scan = Scan { overlays: [None, None, None], base: None, base_head: None, reverse };
        if is_empty_range(lower, upper) {
            return Ok(scan);
        }
        let overlay = |rows: &'a Overlay| Cursor::new(Run::Overlay(rows.range::<_, [u8]>((lower, upper))), reverse);
        scan.overlays = [
            pending.and_then(|rows| Cursor::new(Run::Pending(rows.range::<[u8], _>((lower, upper))), reverse)),
            overlay(&layers.active),
            layers.flushing.as_ref().and_then(overlay),
        ];
        scan.base = Some(layers.base.scan(lower, upper, reverse)?);
        scan.advance_base()?;
        Ok(scan)
    }

    fn advance_base(&mut self) -> Result<(), Error> {
        self.base_head = self.base.as_mut().and_then(Iterator::next).transpose()?;
        Ok(())
    }

    fn order(&self, ours: &Bytes, theirs: &Bytes) -> Ordering {
        if self.reverse { theirs.cmp(ours) } else { ours.cmp(theirs) }
    }

    /// The next row of the overlays, a removed one too.
    fn overlay_head(&self) -> Option<(&'a Bytes, &'a Option<Bytes>)> {
        let heads = self.overlays.iter().flatten().map(|cursor| cursor.head);
        // Of equal keys `reduce` keeps the first, which is the uppermost.
        heads.reduce(|upper, lower| if self.order(lower.0, upper.0) == Ordering::Less { lower } else { upper })
    }

    fn advance_overlays(&mut self, key: &Bytes) {
        for overlay in &mut self.overlays {
            if overlay.as_ref().is_some_and(|cursor| cursor.head.0 == key) {
                *overlay = overlay.take().and_then(Cursor::advanced);
            }
        }
    }

    fn next_row(&mut self) -> Result<Option<(Bytes, Bytes)>, Error> {
        loop {
            let base_key = self.base_head.as_ref().map(|(key, _)| key);
            let overlay = self.overlay_head();
            let against_base = match (overlay, base_key) {
                (Some((key, _)), Some(base_key)) => self.order(key, base_key),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let Some((key, value)) = overlay.filter(|_| against_base != Ordering::Greater) else {
                let row = self.base_head.take();
                if row.is_some() {
                    self.advance_base()?;
                }
                return Ok(row);
            };
            self.advance_overlays(key);
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
            (self.overlays, self.base, self.base_head) = ([None, None, None], None, None);
        }
        row.transpose()
    }
}

impl fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("reverse", &self.reverse).finish_non_exhaustive()
    }
}

/// A place in an overlay that has a row there.
struct Cursor<'a> {
    head: (&'a Bytes, &'a Option<Bytes>),
    rest: Run<'a>,
    reverse: bool,
}

enum Run<'a> {
    Overlay(imbl::ordmap::RangedIter<'a, Bytes, Option<Bytes>, DefaultSharedPtr>),
    Pending(btree_map::Range<'a, Bytes, Option<Bytes>>),
}

impl<'a> Run<'a> {
    fn next(&mut self, reverse: bool) -> Option<(&'a Bytes, &'a Option<Bytes>)> {
        match (self, reverse) {
            (Run::Overlay(rows), false) => rows.next(),
            (Run::Overlay(rows), true) => rows.next_back(),
            (Run::Pending(rows), false) => rows.next(),
            (Run::Pending(rows), true) => rows.next_back(),
        }
    }
}

impl<'a> Cursor<'a> {
    fn new(mut rest: Run<'a>, reverse: bool) -> Option<Self> {
        Some(Cursor { head: rest.next(reverse)?, rest, reverse })
    }

    fn advanced(mut self) -> Option<Self> {
        self.head = self.rest.next(self.reverse)?;
        Some(self)
    }
}
