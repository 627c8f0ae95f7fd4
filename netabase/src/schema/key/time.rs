//! The dates and times of `time`: numbers that sort as they do.
//!
//! Two `OffsetDateTime`s of one instant are equal, whatever their offsets, so the bytes are those of the instant. A key
//! that is read back from its bytes alone is in UTC; the record keeps the offset in its value.

use ::time::{Date, OffsetDateTime, PrimitiveDateTime, Time, UtcDateTime, UtcOffset};

use super::moment::moments;
use super::part::itself;
use super::{Key, KeyError, KeyForm, native_key, serde_key};
use crate::schema::selection::values;
use crate::schema::{Bounds, FirstFields, IntoPart, IntoPrefix, IntoSelection, KeyParts};

/// The offsets that are furthest from UTC.
const OFFSET_SECONDS_MAX: i32 = (25 * 60 + 59) * 60 + 59;

moments! {
    // Julian day.
    Date: i32, |date| date.to_julian_day(), |day| Date::from_julian_day(day).ok();
    // Nanoseconds since midnight.
    Time: u64, nanoseconds, time;
    PrimitiveDateTime: (Date, Time), |local| (local.date(), local.time()),
        |(date, time)| Some(PrimitiveDateTime::new(date, time));
    // Seconds since 1970 and nanoseconds.
    UtcDateTime: (i64, u32), |utc| (utc.unix_timestamp(), utc.nanosecond()),
        |(seconds, nanosecond)| UtcDateTime::from_unix_timestamp(seconds).ok()?.replace_nanosecond(nanosecond).ok();
    OffsetDateTime: (i64, u32), |moment| (moment.unix_timestamp(), moment.nanosecond()), moment;
}

fn nanoseconds(time: &Time) -> u64 {
    let (hour, minute, second, nanosecond) = time.as_hms_nano();
    let seconds = (u64::from(hour) * 60 + u64::from(minute)) * 60 + u64::from(second);
    seconds * 1_000_000_000 + u64::from(nanosecond)
}

fn time(nanoseconds: u64) -> Option<Time> {
    let (seconds, nanosecond) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let (minutes, second) = (seconds / 60, u8::try_from(seconds % 60).ok()?);
    let (hour, minute) = (u8::try_from(minutes / 60).ok()?, u8::try_from(minutes % 60).ok()?);
    Time::from_hms_nano(hour, minute, second, u32::try_from(nanosecond).ok()?).ok()
}

/// In UTC; within a day of the first and the last date there are instants that exist only at another offset.
fn moment((seconds, nanosecond): (i64, u32)) -> Option<OffsetDateTime> {
    [0, OFFSET_SECONDS_MAX, -OFFSET_SECONDS_MAX].into_iter().find_map(|offset| {
        let local = OffsetDateTime::from_unix_timestamp(seconds.checked_add(offset.into())?).ok()?;
        local.replace_nanosecond(nanosecond).ok().map(|local| local.replace_offset(offset_of(offset)))
    })
}

fn offset_of(seconds: i32) -> UtcOffset {
    UtcOffset::from_whole_seconds(seconds).unwrap_or(UtcOffset::UTC)
}

#[cfg(test)]
mod tests {
    use ::time::{Date, Duration, OffsetDateTime, PrimitiveDateTime, Time, UtcDateTime};

    use super::{OFFSET_SECONDS_MAX, offset_of};
    use crate::schema::key::tests::{check_all, decode_edges};

    fn dates() -> Vec<Date> {
        let day = |year, ordinal| Date::from_ordinal_date(year, ordinal).expect("a date");
        let far = [Date::MIN, Date::MIN + Duration::DAY, Date::MAX - Duration::DAY, Date::MAX];
        let near = [(-4713, 328), (-1, 365), (0, 1), (0, 366), (1, 1), (1969, 365), (1970, 1), (2000, 60), (2026, 1)];
        far.into_iter().chain(near.map(|(year, ordinal)| day(year, ordinal))).collect()
    }

    fn times() -> Vec<Time> {
        let time = |h, m, s, n| Time::from_hms_nano(h, m, s, n).expect("a time");
        vec![
            Time::MIDNIGHT,
            time(0, 0, 0, 1),
            time(0, 0, 59, 999_999_999),
            time(1, 0, 0, 0),
            time(12, 34, 56, 789),
            Time::MAX,
        ]
    }

    fn locals() -> Vec<PrimitiveDateTime> {
        dates().into_iter().flat_map(|date| times().into_iter().map(move |time| date.with_time(time))).collect()
    }

    #[test]
    fn they_sort_and_come_back() {
        check_all(&dates());
        check_all(&times());
        check_all(&locals());
        check_all(&locals().into_iter().map(PrimitiveDateTime::as_utc).collect::<Vec<UtcDateTime>>());
    }

    /// Also those of the first and the last day that UTC has no date for.
    #[test]
    fn moments_are_the_same_at_every_offset() {
        let offsets = [0, 1, -1, 3600, -8 * 3600, OFFSET_SECONDS_MAX, -OFFSET_SECONDS_MAX];
        let moments: Vec<OffsetDateTime> = locals()
            .into_iter()
            .flat_map(|local| offsets.map(|offset| local.assume_offset(offset_of(offset))))
            .collect();
        check_all(&moments);
    }

    #[test]
    fn other_bytes_are_refused() {
        decode_edges::<Date>();
        decode_edges::<Time>();
        decode_edges::<PrimitiveDateTime>();
        decode_edges::<UtcDateTime>();
        decode_edges::<OffsetDateTime>();
    }
}
