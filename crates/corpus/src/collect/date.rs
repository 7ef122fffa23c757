//! Moments as WARC and HTTP write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, Utc};

/// A moment as WARC writes it: `2024-05-31T01:16:46Z`.
pub(super) fn of_warc(moment: SystemTime) -> String {
    DateTime::<Utc>::from(moment).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The moment that `Fri, 31 May 2024 01:16:46 GMT` is; dates before 1970 and the two obsolete forms are not read.
pub(super) fn of_http(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as u32 + 1;
    let (day, year): (u32, i32) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u32> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = clock[..] else { return None };
    if !(1970..10_000).contains(&year) || seconds > 60 {
        return None;
    }
    let minute = NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(hours, minutes, 0)?;
    let since = u64::try_from(minute.and_utc().timestamp()).ok()? + u64::from(seconds);
    Some(UNIX_EPOCH + Duration::from_secs(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENTS: [(u64, &str, &str); 3] = [
        (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_827_696, "2000-02-29T12:34:56Z", "Tue, 29 Feb 2000 12:34:56 GMT"),
        (1_717_118_206, "2024-05-31T01:16:46Z", "Fri, 31 May 2024 01:16:46 GMT"),
    ];

    #[test]
    fn dates_are_written_as_warc_wants_them() {
        for (seconds, warc, _) in MOMENTS {
            assert_eq!(of_warc(UNIX_EPOCH + Duration::from_secs(seconds)), warc);
        }
    }

    #[test]
    fn dates_of_http_are_read_and_what_is_none_is_not() {
        for (seconds, _, http) in MOMENTS {
            assert_eq!(of_http(http), Some(UNIX_EPOCH + Duration::from_secs(seconds)));
        }
        for wrong in
            ["", "soon", "Fri, 31 May 2024 01:16 GMT", "Fri, 31 Mai 2024 01:16:46 GMT", "Fri, 0 Jan 0 0:0:0 GMT"]
        {
            assert_eq!(of_http(wrong), None, "{wrong}");
        }
    }
}
