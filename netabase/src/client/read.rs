//! Reads at the member: one value, many, all as of one moment, page by page.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::ask::{Failure, into_error};
use super::shared::{Member, Shared};
use crate::desk::message::{Confirmed, Count, Hash, Held, Page, Read, Request, Trouble, Values, Welcome};
use crate::entropy;
use crate::error::{Error, Result};
use crate::network::Channel;
use crate::schema::{After, Plan, RecordId, codec};

/// How long a member may count, or hash, as many rows as there are.
const LONG_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a read of one moment starts over when its moment is lost.
const MOMENTS_LOST_MAX: u32 = 8;
/// What a request asks for at once.
const KEYS_MAX: usize = 4_096;
const KEYS_BYTES_MAX: usize = 1 << 20;

/// Values of one page, and behind which place the next one goes on, if there is one.
pub(crate) type Rows = (VecDeque<Bytes>, Option<After>);

impl Shared {
    /// From here on, reads miss nothing that was acknowledged anywhere before the call.
    pub(crate) async fn confirm_reads(&self) -> Result<()> {
        let confirmed: Confirmed = self.read(|| Request::Confirm).await?;
        self.see(confirmed.applied);
        Ok(())
    }

    /// What the member tells about itself.
    pub(crate) async fn greet(&self) -> Result<Welcome> {
        self.read(|| self.hello()).await
    }

    /// The stored values under these keys, all as of one moment.
    pub(crate) async fn get(self: &Arc<Self>, record: RecordId, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Bytes>>> {
        let keys: Vec<Bytes> = keys.into_iter().map(Bytes::from).collect();
        let first = first_keys(&keys);
        let ask = || {
            let read = Read::Get { record, keys: first.to_vec() };
            Request::Read { seen: self.seen(), view: None, read }
        };
        let Values { applied, values } = self.read(ask).await?;
        self.see(applied);
        if values.len() >= keys.len() {
            return Ok(values);
        }
        let keys: Arc<[Bytes]> = keys.into();
        self.of_one_moment(|moment| moment.get(record, Arc::clone(&keys))).await
    }

    /// The stored values that a plan selects, all as of one moment.
    pub(crate) async fn query(self: &Arc<Self>, plan: Plan) -> Result<Vec<Bytes>> {
        let (values, next) = self.page(plan.clone()).await?;
        if next.is_none() {
            return Ok(values.into());
        }
        self.of_one_moment(|moment| moment.query(plan.clone())).await
    }

    /// The first values that a plan selects.
    pub(crate) async fn page(&self, plan: Plan) -> Result<Rows> {
        self.check_index(&plan)?;
        let ask = || Request::Read { seen: self.seen(), view: None, read: Read::Page { plan: plan.clone() } };
        let Page { applied, values, next } = self.read(ask).await?;
        self.see(applied);
        Ok((values.into(), next))
    }

    pub(crate) async fn count(&self, plan: Plan) -> Result<u64> {
        self.check_index(&plan)?;
        let ask = || Request::Read { seen: self.seen(), view: None, read: Read::Count { plan: plan.clone() } };
        let Count { applied, count } = self.read_within(LONG_TIMEOUT, ask).await?;
        self.see(applied);
        Ok(count)
    }

    /// The round and the hash of the replicated state at the member.
    pub(crate) async fn state_hash(&self) -> Result<(u64, [u8; 32])> {
        let ask = || Request::Read { seen: self.seen(), view: None, read: Read::Hash };
        let Hash { applied, hash } = self.read_within(LONG_TIMEOUT, ask).await?;
        self.see(applied);
        Ok((applied, hash))
    }

    /// Reads as of one moment of one member; from the start again at the next one, if that is lost.
    async fn of_one_moment<T, Fut>(self: &Arc<Self>, read: impl Fn(Moment) -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let _turn = self.moments.acquire().await.map_err(|_| Error::ShutDown)?;
        for _ in 0..MOMENTS_LOST_MAX {
            let deadline = Instant::now() + self.timeout;
            let member = self.member_until(deadline).await?;
            match read(Moment::new(Arc::clone(self), member)).await {
                Ok(all) => return Ok(all),
                Err(Failure::Trouble(Trouble::NoLease | Trouble::Overloaded { .. })) => {}
                Err(failure) if self.is_passing(member, &failure) => {}
                Err(failure) => return Err(into_error(failure)),
            }
        }
        Err(Error::Network {
            reason: "no member kept what there was at one moment for as long as it took to read it: read less at once, or page by page with `db.stream`"
                .into(),
        })
    }
}

/// A view that the member keeps for this client.
struct Moment {
    shared: Arc<Shared>,
    member: Member,
    id: u64,
    asked: bool,
}

impl Moment {
    fn new(shared: Arc<Shared>, member: Member) -> Self {
        Moment { shared, member, id: u64::from_be_bytes(entropy::bytes()), asked: false }
    }

    async fn get(mut self, record: RecordId, keys: Arc<[Bytes]>) -> Result<Vec<Option<Bytes>>, Failure> {
        let mut all = Vec::with_capacity(keys.len());
        while let Some(rest) = keys.get(all.len()..).filter(|rest| !rest.is_empty()) {
            let Values { applied, values } = self.ask(Read::Get { record, keys: first_keys(rest).to_vec() }).await?;
            self.shared.see(applied);
            if values.is_empty() {
                return Err(Failure::Lost);
            }
            all.extend(values);
        }
        Ok(all)
    }

    async fn query(mut self, mut plan: Plan) -> Result<Vec<Bytes>, Failure> {
        let mut all = Vec::new();
        loop {
            let Page { applied, values, next } = self.ask(Read::Page { plan: plan.clone() }).await?;
            self.shared.see(applied);
            plan = rest(plan, values.len(), &next);
            all.extend(values);
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    async fn ask<T: DeserializeOwned>(&mut self, read: Read) -> Result<T, Failure> {
        let new = !std::mem::replace(&mut self.asked, true);
        let request = Request::Read { seen: self.shared.seen(), view: Some(Held { id: self.id, new }), read };
        self.shared.ask(self.member, &request, self.shared.timeout).await
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        self.shared.release(self.member, self.id);
    }
}

impl Shared {
    /// Tells the member that a lease is not needed any more; nobody waits for that to arrive.
    pub(super) fn release(&self, member: Member, id: u64) {
        let request = Request::Release { leases: vec![id] };
        if let Ok(payload) = codec::encode(&request) {
            drop(self.network.request(member.peer, Channel::Client, payload.into(), self.timeout));
        }
    }
}

/// What is left of a plan behind a page of so many rows.
pub(crate) fn rest(plan: Plan, rows: usize, next: &Option<After>) -> Plan {
    Plan { limit: plan.limit.map(|limit| limit.saturating_sub(rows)), after: next.clone(), ..plan }
}

/// As many keys as go into one request, one at least.
fn first_keys(keys: &[Bytes]) -> &[Bytes] {
    let mut bytes = 0;
    let fits = |key: &&Bytes| {
        bytes += key.len();
        bytes <= KEYS_BYTES_MAX
    };
    let fitting = keys.iter().take(KEYS_MAX).take_while(fits).count().max(1);
    &keys[..fitting.min(keys.len())]
}
