//! Points in time, written as RFC 3339 without a calendar library.

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// The length of `2026-11-23T13:37:00.123456Z`.
pub(crate) const RFC3339_LEN: usize = 27;

impl Timestamp {
    /// RFC 3339 in UTC with microseconds. Years outside 0 to 9999 do not occur on a server's clock
    /// and come out as the nearest year that has four digits.
    #[must_use]
    pub fn rfc3339(self) -> [u8; RFC3339_LEN] {
        const DAY_US: i64 = 86_400_000_000;
        let (year, month, day) = civil(self.0.div_euclid(DAY_US));
        let in_day = self.0.rem_euclid(DAY_US);
        let seconds = in_day / 1_000_000;
        let mut out = *b"0000-00-00T00:00:00.000000Z";
        digits(&mut out, 0, 4, year.clamp(0, 9999));
        digits(&mut out, 5, 2, month);
        digits(&mut out, 8, 2, day);
        digits(&mut out, 11, 2, seconds / 3600);
        digits(&mut out, 14, 2, seconds / 60 % 60);
        digits(&mut out, 17, 2, seconds % 60);
        digits(&mut out, 20, 6, in_day % 1_000_000);
        out
    }
}

fn digits(out: &mut [u8], at: usize, width: usize, mut value: i64) {
    let Some(field) = out.get_mut(at..at + width) else {
        return;
    };
    for slot in field.iter_mut().rev() {
        *slot = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

/// Year, month and day of a day number (0 is 1970-01-01) in the proleptic Gregorian calendar:
/// years are counted from March, so that the leap day is the last of its year.
const fn civil(day_number: i64) -> (i64, i64, i64) {
    let days = day_number + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(us: i64) -> String {
        String::from_utf8(Timestamp(us).rfc3339().to_vec()).unwrap()
    }

    #[test]
    fn timestamps_are_written_as_rfc3339() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(text(951_782_400_000_001), "2000-02-29T00:00:00.000001Z");
        assert_eq!(text(1_795_441_020_123_456), "2026-11-23T13:37:00.123456Z");
        assert_eq!(text(253_402_300_799_999_999), "9999-12-31T23:59:59.999999Z");
    }
}
