//! Reads for a client: from the newest view, or from the one that it leases.

use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;

use super::PAGE_BYTES;
use super::lease::Lease;
use super::message::{Count, Hash, Held, Page, Trouble, Values};
use super::serve::Counter;
use crate::consensus::Round;
use crate::schema::{Catalog, IndexId, Plan, RecordGlue, RecordId};
use crate::storage::{Pages, Rows, Selecting, View};

impl Counter {
    /// The view to read from.
    async fn view(&self, client: PeerId, seen: Round, held: Option<Held>) -> Result<View, Trouble> {
        let Some(held) = held else { return self.view_since(seen).await };
        let newest = if held.new { Some(self.view_since(seen).await?) } else { None };
        let make = || Lease::View(newest.unwrap_or_else(|| self.views.view()));
        match self.leases.borrow_mut().find(Instant::now(), client, held, make)? {
            Lease::View(view) => Ok(view.clone()),
            Lease::Run(_) => Err(Trouble::malformed("the lease is of a transaction")),
        }
    }

    pub(super) async fn get(
        &self,
        client: PeerId,
        seen: Round,
        held: Option<Held>,
        record: RecordId,
        keys: &[bytes::Bytes],
    ) -> Result<Values, Trouble> {
        let glue = record_glue(&self.catalog, record)?;
        let view = self.view(client, seen, held).await?;
        let (mut values, mut bytes) = (Vec::new(), 0);
        for key in keys {
            let value = view.record(record, glue, key)?.map(|(_, value)| value);
            bytes += value.as_ref().map_or(1, |value| value.len());
            values.push(value);
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(Values { applied: view.applied(), values })
    }

    pub(super) async fn page(
        &self,
        client: PeerId,
        seen: Round,
        held: Option<Held>,
        plan: Plan,
    ) -> Result<Page, Trouble> {
        let view = self.view(client, seen, held).await?;
        let glue = glue(&self.catalog, &view, &plan)?;
        let mut pages = Pages::of(plan);
        let rows = pages.read(&view, glue);
        let values = rows.into_iter().map(|row| Ok(row?.value)).collect::<Result<_, Trouble>>()?;
        Ok(Page { applied: view.applied(), values, next: pages.next().cloned() })
    }

    /// Reads as many rows as there are, so beside everything else, and few at a time.
    pub(super) async fn count(&self, seen: Round, plan: Plan) -> Result<Count, Trouble> {
        let _permit = self.long_reads.acquire().await;
        let view = self.view_since(seen).await?;
        let glue = glue(&self.catalog, &view, &plan)?;
        let applied = view.applied();
        let counted = tokio::task::spawn_blocking(move || view.count(&plan, glue)).await;
        Ok(Count { applied, count: counted.map_err(|_| stopping())?? })
    }

    pub(super) async fn hash(&self, seen: Round) -> Result<Hash, Trouble> {
        let _permit = self.long_reads.acquire().await;
        drop(self.view_since(seen).await?);
        let state = Arc::clone(&self.replica).machine().state();
        let applied = state.applied();
        let hash = tokio::task::spawn_blocking(move || state.hash()).await;
        Ok(Hash { applied, hash: hash.map_err(|_| stopping())??.to_bytes() })
    }
}

/// What is known of records of this type.
pub(super) fn record_glue(catalog: &Catalog, record: RecordId) -> Result<&'static RecordGlue, Trouble> {
    catalog.record(record).ok_or_else(|| Trouble::malformed("an unknown record type"))
}

/// What is known of the records of a client's plan, whose program may be another one.
pub(super) fn glue(catalog: &Catalog, rows: &dyn Rows, plan: &Plan) -> Result<&'static RecordGlue, Trouble> {
    let newest = record_glue(catalog, plan.record)?;
    let is_inner = plan.index == Some(IndexId::expiry());
    let glue = if is_inner { None } else { rows.glue_of(plan, newest)? };
    glue.ok_or_else(|| Trouble::malformed("a plan over an unknown index"))
}

pub(super) fn stopping() -> Trouble {
    Trouble::Elsewhere { reason: "the member stops".into() }
}
