//! Moments as WARC and HTTP write them. Days to a date and back by Hinnant's algorithms.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment as WARC writes it: `2024-05-31T01:16:46Z`.
pub(super) fn of_warc(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The moment that `Fri, 31 May 2024 01:16:46 GMT` is; dates before 1970 and the two obsolete forms are not read.
pub(super) fn of_http(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u64> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = clock[..] else { return None };
    if !(1970..10_000).contains(&year) || !(1..=31).contains(&day) || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let since = days.checked_sub(719_468)? * 86_400 + hours * 3600 + minutes * 60 + seconds;
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
