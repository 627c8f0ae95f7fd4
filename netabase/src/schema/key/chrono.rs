//! The dates and times of `chrono` that are without a zone, or in UTC: numbers that sort as they do.
//!
//! A leap second is a second with more than a thousand million nanoseconds there, and here.

use ::chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};

use super::moment::moments;
use super::part::itself;
use super::{Key, KeyError, KeyForm, native_key, serde_key};
use crate::schema::selection::values;
use crate::schema::{Bounds, FirstFields, IntoPart, IntoPrefix, IntoSelection, KeyParts};

moments! {
    // Days since the last one of the year 0.
    NaiveDate: i32, |date| date.num_days_from_ce(), NaiveDate::from_num_days_from_ce_opt;
    // Seconds since midnight and nanoseconds.
    NaiveTime: (u32, u32), |time| (time.num_seconds_from_midnight(), time.nanosecond()),
        |(seconds, nanoseconds)| NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanoseconds);
    NaiveDateTime: (NaiveDate, NaiveTime), |local| (local.date(), local.time()),
        |(date, time)| Some(NaiveDateTime::new(date, time));
    DateTime<Utc>: NaiveDateTime, DateTime::naive_utc, |utc| Some(utc.and_utc());
}

#[cfg(test)]
mod tests {
    use ::chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

    use crate::schema::key::tests::{check_all, decode_edges};

    fn dates() -> Vec<NaiveDate> {
        let near = [(-4713, 328), (-1, 365), (0, 1), (0, 366), (1, 1), (1969, 365), (1970, 1), (2000, 60), (2026, 1)];
        let far = [Some(NaiveDate::MIN), NaiveDate::MIN.succ_opt(), NaiveDate::MAX.pred_opt(), Some(NaiveDate::MAX)];
        let near = near.map(|(year, day)| NaiveDate::from_yo_opt(year, day));
        far.into_iter().chain(near).map(|date| date.expect("a date")).collect()
    }

    /// With leap seconds, at the end of the day and in it.
    fn times() -> Vec<NaiveTime> {
        let time = |h, m, s, n| NaiveTime::from_hms_nano_opt(h, m, s, n).expect("a time");
        vec![
            NaiveTime::MIN,
            time(0, 0, 0, 1),
            time(0, 0, 59, 999_999_999),
            time(0, 0, 59, 1_000_000_000),
            time(0, 1, 0, 0),
            time(12, 34, 56, 789),
            time(23, 59, 59, 999_999_999),
            time(23, 59, 59, 1_000_000_000),
            time(23, 59, 59, 1_999_999_999),
        ]
    }

    fn locals() -> Vec<NaiveDateTime> {
        dates().into_iter().flat_map(|date| times().into_iter().map(move |time| date.and_time(time))).collect()
    }

    #[test]
    fn they_sort_and_come_back() {
        check_all(&dates());
        check_all(&times());
        check_all(&locals());
        check_all(&locals().iter().map(NaiveDateTime::and_utc).collect::<Vec<DateTime<Utc>>>());
        check_all(&[DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC]);
    }

    #[test]
    fn other_bytes_are_refused() {
        decode_edges::<NaiveDate>();
        decode_edges::<NaiveTime>();
        decode_edges::<NaiveDateTime>();
        decode_edges::<DateTime<Utc>>();
    }
}
