//! Numbers, formatted for people.

/// The placeholder for a missing number.
pub(super) const NONE: &str = "–";

/// Returns the share of a part in its total, from 0 to 1; 0 if the total is 0.
pub(super) fn share(part: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { part as f64 / total as f64 }
}

/// Formats a number with a fixed number of decimal places, and no minus before a zero.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.chars().all(|digit| matches!(digit, '0' | '.'));
    if value < 0.0 && !is_zero { format!("−{text}") } else { text }
}

/// Formats a share from 0 to 1 in percent, with one decimal place.
pub(super) fn exact_percent(share: f64) -> String {
    format!("{}%", fixed(share * 100.0, 1))
}

/// Formats a share from 0 to 1 in whole percent, with decimals where rounding would make it 0 or 100.
pub(super) fn percent(share: f64) -> String {
    match share {
        _ if share > 0.0 && share < 0.001 => "< 0.1%".to_owned(),
        _ if share > 0.999 && share < 1.0 => "> 99.9%".to_owned(),
        _ if (share > 0.0 && share < 0.01) || (share > 0.99 && share < 1.0) => exact_percent(share),
        _ => format!("{}%", fixed(share * 100.0, 0)),
    }
}

/// Formats a count with its digits in groups of three.
pub(super) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// Formats a count with its noun: `1 row`, `2,000 rows`.
pub(super) fn counted(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// Formats a number of unknown size with about four significant digits.
pub(super) fn quantity(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let size = value.abs();
    if size >= 1e9 || (size > 0.0 && size < 1e-3) {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        _ if size >= 1000.0 => 0,
        _ if size >= 10.0 => 2,
        _ => 3,
    };
    let text = fixed(value, decimals);
    match text.split_once('.') {
        None => grouped(&text),
        Some((whole, decimals)) => match decimals.trim_end_matches('0') {
            "" => whole.to_owned(),
            decimals => format!("{whole}.{decimals}"),
        },
    }
}

/// Formats a duration in a suitable unit.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        _ if !seconds.is_finite() => NONE.to_owned(),
        _ if seconds < 0.001 => "< 1 ms".to_owned(),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        _ if seconds < 60.0 => format!("{seconds:.1} s"),
        _ => format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor()),
    }
}

/// Formats the range of a bin. Bins include their lower edge, and the last one its upper edge too. A name
/// that is not a range of numbers is unchanged.
pub(super) fn range(name: &str, is_last: bool) -> String {
    let number = |text: &str| text.parse::<f64>().is_ok().then(|| grouped_decimal(text));
    match name.split_once(" – ").map(|(from, to)| (number(from), number(to))) {
        Some((Some(from), Some(to))) if is_last => format!("{from} to {to}"),
        Some((Some(from), Some(to))) => format!("{from} to under {to}"),
        _ => number(name).unwrap_or_else(|| name.to_owned()),
    }
}

/// Returns how many of a list are shown if there is room for `most`. A single one more is shown too, since a
/// note about it would take as much room.
pub(super) fn room_for(all: usize, most: usize) -> usize {
    if all <= most + 1 { all } else { most }
}

fn grouped_decimal(text: &str) -> String {
    let text = text.replacen('-', "−", 1);
    match text.split_once('.') {
        Some((whole, decimals)) => format!("{}.{decimals}", grouped(whole)),
        None => grouped(&text),
    }
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('−').map_or(("", digits), |digits| ("−", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
