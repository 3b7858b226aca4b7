//! Durations and sizes as people write them.

use std::time::Duration;

/// Units of a duration, with their milliseconds.
const TIME: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
/// Units of a size, with their bytes.
const SIZE: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads `"500ms"`, `"30s"`, `"2m"`, `"1h"`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    quantity(text, &TIME).map(Duration::from_millis)
}

/// Reads `"4096B"`, `"16MB"`, `"1GiB"`, in bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    quantity(text, &SIZE)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_need_a_number_and_a_known_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(size("16MB"), Some(16_000_000));
        assert_eq!(size("1 GiB"), Some(1 << 30));
        for wrong in [
            "",
            "30",
            "s",
            "30 sec",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
