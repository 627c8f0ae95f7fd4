//! The fabric's own promises, on a paused clock: every timeout here is exact and costs nothing.

use super::*;
use crate::network::NetworkEvent;

const TIMEOUT: Duration = Duration::from_secs(2);

type Receiver = mpsc::Receiver<NetworkEvent>;

/// Answers every request with its own payload and passes the other events on.
fn echo(mut events: Receiver) -> Receiver {
    let (others, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                NetworkEvent::Request(request) => request.reply.send(request.payload),
                other => others.send(other).await.unwrap(),
            }
        }
    });
    receiver
}

async fn connected(events: &mut Receiver, peer: PeerId) {
    assert!(matches!(events.recv().await, Some(NetworkEvent::Connected(other)) if other == peer));
}

async fn disconnected(events: &mut Receiver, peer: PeerId) {
    assert!(matches!(events.recv().await, Some(NetworkEvent::Disconnected(other)) if other == peer));
}

/// Two peers that know of each other, both echoing.
async fn pair(fabric: &Fabric) -> (Network, Receiver, Network, Receiver) {
    let (a, events) = fabric.join(PeerId::random());
    let mut a_events = echo(events);
    let (b, events) = fabric.join(PeerId::random());
    let mut b_events = echo(events);
    connected(&mut a_events, b.peer_id()).await;
    connected(&mut b_events, a.peer_id()).await;
    (a, a_events, b, b_events)
}

fn ask(from: &Network, to: &Network, payload: &'static [u8]) -> impl Future<Output = RequestResult> + use<> {
    from.request(to.peer_id(), Channel::Paxos, Bytes::from_static(payload), TIMEOUT)
}

#[tokio::test(start_paused = true)]
async fn round_trips_on_all_channels() {
    let (a, _ea, b, _eb) = pair(&Fabric::new(1)).await;
    for channel in Channel::ALL {
        let answer = a.request(b.peer_id(), channel, Bytes::from_static(b"x"), TIMEOUT).await;
        assert_eq!(answer, Ok(Bytes::from_static(b"x")));
    }
    assert_eq!(ask(&a, &a, b"self").await, Err(RequestError::NotConnected));
    let bytes_max = NetworkLimits::default().heartbeat_bytes_max;
    let large = Bytes::from(vec![0; bytes_max + 1]);
    let refused = a.request(b.peer_id(), Channel::Heartbeat, large, TIMEOUT).await;
    assert_eq!(refused, Err(RequestError::TooLarge { bytes: bytes_max + 1, bytes_max }));
}

#[tokio::test(start_paused = true)]
async fn a_silent_partition_is_a_timeout_and_heals() {
    let fabric = Fabric::new(2);
    let (a, _ea, b, mut eb) = pair(&fabric).await;
    fabric.partition(&[&[a.peer_id()], &[b.peer_id()]]);
    let start = Instant::now();
    assert_eq!(ask(&a, &b, b"lost").await, Err(RequestError::Timeout));
    assert_eq!(start.elapsed().as_secs(), TIMEOUT.as_secs());
    assert!(a.is_connected(b.peer_id()));
    fabric.heal();
    assert_eq!(ask(&a, &b, b"back").await, Ok(Bytes::from_static(b"back")));
    assert!(eb.try_recv().is_err(), "connections stayed, so nothing was announced");
}

#[tokio::test(start_paused = true)]
async fn an_answer_across_a_new_partition_is_lost() {
    let fabric = Fabric::new(3);
    let (a, _ea) = fabric.join(PeerId::random());
    let (b, mut eb) = fabric.join(PeerId::random());
    connected(&mut eb, a.peer_id()).await;
    let asked = ask(&a, &b, b"x");
    let Some(NetworkEvent::Request(request)) = eb.recv().await else { panic!("no request") };
    fabric.partition(&[&[a.peer_id()]]);
    request.reply.send(Bytes::new());
    assert_eq!(asked.await, Err(RequestError::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_closing_partition_disconnects() {
    let fabric = Fabric::new(4);
    let (a, mut ea, b, mut eb) = pair(&fabric).await;
    fabric.set_filter(Some(Box::new(|passing| !passing.answer)));
    let asked = ask(&a, &b, b"x");
    fabric.set_separation(Separation::Closed);
    fabric.partition(&[&[a.peer_id()]]);
    assert_eq!(asked.await, Err(RequestError::ConnectionLost));
    disconnected(&mut ea, b.peer_id()).await;
    disconnected(&mut eb, a.peer_id()).await;
    assert_eq!(ask(&a, &b, b"x").await, Err(RequestError::NotConnected));
    fabric.set_filter(None);
    fabric.heal();
    connected(&mut ea, b.peer_id()).await;
    assert_eq!(ask(&a, &b, b"x").await, Ok(Bytes::from_static(b"x")));
}

#[tokio::test(start_paused = true)]
async fn a_cut_peer_is_gone_until_it_joins_again() {
    let fabric = Fabric::new(5);
    let (a, mut ea, b, _eb) = pair(&fabric).await;
    fabric.set_filter(Some(Box::new(|passing| !passing.answer)));
    let (to, from) = (ask(&a, &b, b"x"), ask(&b, &a, b"x"));
    fabric.cut(b.peer_id());
    assert_eq!(to.await, Err(RequestError::ConnectionLost));
    assert_eq!(from.await, Err(RequestError::ConnectionLost));
    disconnected(&mut ea, b.peer_id()).await;
    fabric.set_filter(None);
    let (again, events) = fabric.join(b.peer_id());
    let _events = echo(events);
    connected(&mut ea, b.peer_id()).await;
    assert_eq!(ask(&a, &again, b"x").await, Ok(Bytes::from_static(b"x")));
    assert_eq!(ask(&b, &a, b"ghost").await, Err(RequestError::NotConnected));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reply_refuses() {
    let fabric = Fabric::new(6);
    let (a, _ea) = fabric.join(PeerId::random());
    let (b, mut eb) = fabric.join(PeerId::random());
    connected(&mut eb, a.peer_id()).await;
    let asked = ask(&a, &b, b"x");
    drop(eb.recv().await);
    assert!(matches!(asked.await, Err(RequestError::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_receive_fills_a_queue_not_memory() {
    let fabric = Fabric::new(7);
    let (a, _ea) = fabric.join(PeerId::random());
    let (b, _eb) = fabric.join(PeerId::random());
    let mut waiting = Vec::new();
    let full = loop {
        let mut asked = Box::pin(ask(&a, &b, b"x"));
        match futures::poll!(asked.as_mut()) {
            std::task::Poll::Ready(result) => break result,
            std::task::Poll::Pending => waiting.push(asked),
        }
        assert!(waiting.len() <= 4 * EVENT_QUEUE_MAX);
        tokio::task::yield_now().await;
    };
    assert_eq!(full, Err(RequestError::QueueFull));
    for asked in waiting {
        assert_eq!(asked.await, Err(RequestError::Timeout));
    }
}

#[tokio::test(start_paused = true)]
async fn delays_keep_the_order_of_a_channel_and_follow_the_seed() {
    async fn arrivals(seed: u64) -> (Vec<u8>, Duration) {
        let fabric = Fabric::new(seed);
        fabric.set_delay(Duration::from_millis(1)..Duration::from_millis(500));
        let (a, _ea) = fabric.join(PeerId::random());
        let (b, mut eb) = fabric.join(PeerId::random());
        connected(&mut eb, a.peer_id()).await;
        let start = Instant::now();
        let asked: Vec<_> =
            [b"0", b"1", b"2", b"3", b"4", b"5"].into_iter().map(|payload| ask(&a, &b, payload)).collect();
        let mut order = Vec::new();
        for _ in &asked {
            let Some(NetworkEvent::Request(request)) = eb.recv().await else { panic!("no request") };
            order.push(request.payload[0]);
        }
        (order, start.elapsed())
    }
    let (order, took) = arrivals(8).await;
    assert_eq!(order, b"012345");
    assert!(took >= Duration::from_millis(1));
    assert_eq!(took, arrivals(8).await.1);
    assert_ne!(took, arrivals(9).await.1);
}

#[tokio::test(start_paused = true)]
async fn losses_and_one_way_blocks_are_timeouts() {
    let fabric = Fabric::new(10);
    let (a, _ea, b, _eb) = pair(&fabric).await;
    fabric.set_loss(1000);
    assert_eq!(ask(&a, &b, b"x").await, Err(RequestError::Timeout));
    fabric.set_loss(0);
    fabric.block(b.peer_id(), a.peer_id());
    assert_eq!(ask(&a, &b, b"x").await, Err(RequestError::Timeout));
    fabric.heal();
    assert_eq!(ask(&a, &b, b"x").await, Ok(Bytes::from_static(b"x")));
}
