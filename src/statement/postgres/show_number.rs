//! `to_char` and `to_number` (`formatting.c`, `NUM_processor`): numbers in templates of digits.
//!
//! It owns the grammar of these templates and what each part of them writes, with the separators of the C locale.

use super::numeric::{Numeric, ten_to};
use super::show_time::suffix;
use super::template::Ordinal;
use crate::error::{Error, Result, SqlState};

/// Width of Roman numerals.
const ROMAN_WIDTH: usize = 15;
const ROMAN_MAX: i64 = 3999;
/// Digits of a template.
const DIGITS_MAX: usize = 1_000;
/// Digits that a `double precision` has.
const DOUBLE_DIGITS: usize = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Nine,
    Zero,
    Point,
    Group,
    Sign,
    Plus,
    Minus,
    PlusMinus,
    Brackets,
    Currency,
    Shift,
    Exponent,
    Roman { lower: bool },
    Ordinal(Ordinal),
    Fill,
    Letter(char),
}

const KEYWORDS: [(&str, Part); 19] = [
    ("EEEE", Part::Exponent),
    ("FM", Part::Fill),
    ("MI", Part::Minus),
    ("PL", Part::Plus),
    ("PR", Part::Brackets),
    ("RN", Part::Roman { lower: false }),
    ("rn", Part::Roman { lower: true }),
    ("SG", Part::PlusMinus),
    ("TH", Part::Ordinal(Ordinal::Upper)),
    ("th", Part::Ordinal(Ordinal::Lower)),
    (",", Part::Group),
    (".", Part::Point),
    ("0", Part::Zero),
    ("9", Part::Nine),
    ("D", Part::Point),
    ("G", Part::Group),
    ("L", Part::Currency),
    ("S", Part::Sign),
    ("V", Part::Shift),
];

/// A template and what follows from all of it.
#[derive(Default)]
struct Template {
    parts: Vec<Part>,
    before_point: usize,
    after_point: usize,
    /// Digits behind `V`.
    shift: usize,
    has_zero: bool,
    zero_start: usize,
    zero_end: usize,
    has_point: bool,
    fill: bool,
    brackets: bool,
    plus: bool,
    minus: bool,
    sign: Option<SignPlace>,
    exponent: bool,
    roman: Option<bool>,
    has_shift: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SignPlace {
    /// With so many digits before it.
    Before(usize),
    After,
}

fn refuse(message: &'static str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}

impl Template {
    fn parse(text: &str) -> Result<Self> {
        let mut template = Self::default();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if letter == '"' {
                let mut letters = rest[1..].chars();
                while let Some(quoted) = letters.next() {
                    match quoted {
                        '"' => break,
                        '\\' => template.parts.extend(letters.next().map(Part::Letter)),
                        other => template.parts.push(Part::Letter(other)),
                    }
                }
                rest = letters.as_str();
                continue;
            }
            let keyword = KEYWORDS.iter().find(|(name, part)| {
                let cased = matches!(part, Part::Roman { .. } | Part::Ordinal(_));
                rest.starts_with(name) || (!cased && rest.starts_with(&name.to_ascii_lowercase()))
            });
            if let Some((name, part)) = keyword {
                template.note(*part)?;
                template.parts.push(*part);
                rest = &rest[name.len()..];
            } else {
                template.parts.push(Part::Letter(letter));
                rest = &rest[letter.len_utf8()..];
            }
        }
        if template.before_point + template.after_point + template.shift > DIGITS_MAX {
            let message = format!("a template may have {DIGITS_MAX} digits");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        if template.sign == Some(SignPlace::Before(template.before_point)) {
            template.sign = Some(SignPlace::After);
        }
        Ok(template)
    }

    fn note(&mut self, part: Part) -> Result<()> {
        if self.exponent && !matches!(part, Part::Exponent | Part::Letter(_)) {
            return Err(refuse("\"EEEE\" must be the last pattern used"));
        }
        match part {
            Part::Nine if self.brackets => return Err(refuse("\"9\" must be ahead of \"PR\"")),
            Part::Nine if self.has_shift => self.shift += 1,
            Part::Nine if self.has_point => self.after_point += 1,
            Part::Nine => self.before_point += 1,
            Part::Zero if self.brackets => return Err(refuse("\"0\" must be ahead of \"PR\"")),
            Part::Zero => {
                if !self.has_zero && !self.has_point {
                    self.has_zero = true;
                    self.zero_start = self.before_point;
                }
                if self.has_point {
                    self.after_point += 1;
                } else {
                    self.before_point += 1;
                }
                self.zero_end = self.before_point + self.after_point;
            }
            Part::Point if self.has_point => return Err(refuse("multiple decimal points")),
            Part::Point if self.has_shift => {
                return Err(refuse("cannot use \"V\" and decimal point together"));
            }
            Part::Point => self.has_point = true,
            Part::Fill => self.fill = true,
            Part::Sign => {
                if self.sign.is_some() {
                    return Err(refuse("cannot use \"S\" twice"));
                }
                if self.plus || self.minus || self.brackets {
                    return Err(refuse("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
                }
                self.sign = Some(if self.has_point { SignPlace::After } else { SignPlace::Before(self.before_point) });
            }
            Part::Minus | Part::Plus | Part::PlusMinus => {
                if self.sign.is_some() {
                    return Err(refuse("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
                }
                self.minus |= part != Part::Plus;
                self.plus |= part != Part::Minus;
            }
            Part::Brackets => {
                if self.sign.is_some() || self.plus || self.minus {
                    return Err(refuse("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together"));
                }
                self.brackets = true;
            }
            Part::Shift if self.has_point => {
                return Err(refuse("cannot use \"V\" and decimal point together"));
            }
            Part::Shift => self.has_shift = true,
            Part::Exponent => self.exponent = true,
            Part::Roman { lower } => self.roman = Some(lower),
            Part::Group | Part::Currency | Part::Ordinal(_) | Part::Letter(_) => {}
        }
        Ok(())
    }
}

/// `to_char(numeric, template)`.
pub fn number(value: &Numeric, template: &str) -> Result<String> {
    let mut template = Template::parse(template)?;
    if let Some(lower) = template.roman {
        return Ok(roman(value.to_i64().unwrap_or(0), lower, template.fill));
    }
    if template.exponent {
        return Ok(scientific(value, template.after_point));
    }
    let shifted = value.multiply(&Numeric::new(ten_to(template.shift as u32), 0));
    template.before_point += template.shift;
    let digits = shifted.rescaled(template.after_point as u32);
    Ok(write(&template, digits.is_negative(), &digits.abs().to_string()))
}

/// `to_char(double precision, template)`: no more digits than the type has.
pub fn float(value: f64, template: &str) -> Result<String> {
    let mut parsed = Template::parse(template)?;
    if !value.is_finite() && parsed.roman.is_none() && !parsed.exponent {
        let word = if value.is_nan() { "NaN" } else { "Infinity" };
        return Ok(write(&parsed, value < 0.0, word));
    }
    if let Some(lower) = parsed.roman {
        return Ok(roman(value.round_ties_even() as i64, lower, parsed.fill));
    }
    let number = |digits: usize| Numeric::parse(&format!("{value:.digits$}"));
    if parsed.exponent {
        return Ok(scientific(&Numeric::of_float(value, DOUBLE_DIGITS)?, parsed.after_point));
    }
    let value = value * 10_f64.powi(parsed.shift as i32);
    parsed.before_point += parsed.shift;
    let whole = format!("{:.0}", value.abs()).len();
    let digits = parsed.after_point.min(DOUBLE_DIGITS.saturating_sub(whole));
    let rounded = if parsed.shift == 0 { number(digits)? } else { Numeric::parse(&format!("{value:.digits$}"))? };
    Ok(write(&parsed, value < 0.0, &rounded.abs().to_string()))
}

/// What is known while a number is written.
struct Writer<'t> {
    template: &'t Template,
    negative: bool,
    digits: Vec<u8>,
    /// The next of the digits.
    next: usize,
    /// Places of the template before the first digit.
    leading: usize,
    place: usize,
    /// The last digit that matters, where zeros at the end are left out.
    last: Option<usize>,
    sign_written: bool,
    sign_needed_brackets: bool,
    in_number: bool,
    count: usize,
    out: String,
}

fn write(template: &Template, negative: bool, digits: &str) -> String {
    let whole = digits.find('.').unwrap_or(digits.len());
    let is_number = digits.as_bytes().first().is_some_and(u8::is_ascii_digit);
    let overflow = whole > template.before_point;
    let digits: Vec<u8> = if overflow && is_number {
        let mut hashes = vec![b'#'; template.before_point + template.after_point + 1];
        hashes[template.before_point] = b'.';
        hashes
    } else {
        digits.bytes().collect()
    };
    let leading = template.before_point.saturating_sub(whole);
    let brackets = template.brackets && (negative || !template.fill);
    let sign_written = if template.plus || template.minus {
        !template.plus || template.minus
    } else {
        !negative && template.fill && template.sign.is_none()
    };
    let mut last = None;
    if template.fill
        && template.has_point
        && let Some(point) = digits.iter().position(|digit| *digit == b'.')
    {
        let mut relevant = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(point).max(point);
        if template.zero_end > leading {
            relevant = relevant.max((digits.len() - 1).min(template.zero_end - leading));
        }
        last = Some(relevant);
    }
    let mut count = (template.after_point + template.before_point).saturating_sub(1);
    if !sign_written && leading == 0 {
        count += 1;
    }
    let mut writer = Writer {
        template,
        negative,
        digits,
        next: 0,
        leading,
        place: 0,
        last,
        sign_written,
        sign_needed_brackets: brackets,
        in_number: false,
        count,
        out: String::new(),
    };
    for part in &template.parts {
        writer.part(*part);
    }
    writer.out
}

impl Writer<'_> {
    fn part(&mut self, part: Part) {
        let blank_unless_filled = |writer: &mut Self| {
            if !writer.template.fill {
                writer.out.push(' ');
            }
        };
        match part {
            Part::Nine | Part::Zero | Part::Point => self.digit(part),
            Part::Group if self.in_number => self.out.push(','),
            Part::Currency => self.out.push(' '),
            Part::Minus if self.negative => self.out.push('-'),
            Part::Plus if !self.negative => self.out.push('+'),
            Part::Group | Part::Minus | Part::Plus => blank_unless_filled(self),
            Part::PlusMinus => self.out.push(if self.negative { '-' } else { '+' }),
            Part::Ordinal(ordinal) => {
                if self.digits.first() != Some(&b'#') && !self.negative && !self.template.has_point {
                    let text = String::from_utf8_lossy(&self.digits).into_owned();
                    let value = text.get(text.len().saturating_sub(2)..).and_then(|end| end.parse().ok()).unwrap_or(0);
                    self.out.push_str(suffix(value, ordinal));
                }
            }
            Part::Letter(letter) => self.out.push(letter),
            Part::Sign | Part::Brackets | Part::Shift | Part::Exponent | Part::Roman { .. } | Part::Fill => {}
        }
    }

    /// A zero before the point that a template without zeros leaves blank: `9.9` writes `.1`.
    fn is_blank_zero(&self) -> bool {
        !self.template.has_zero
            && self.next == 0
            && self.digits.first() == Some(&b'0')
            && self.template.after_point != 0
    }

    fn ends_at_point(&self) -> bool {
        self.last.is_some_and(|last| self.digits[last] == b'.')
    }

    fn digit(&mut self, part: Part) {
        self.in_number = false;
        let template = self.template;
        let zero_here = template.has_zero && template.zero_start == self.place;
        if !self.sign_written
            && (self.place >= self.leading || zero_here)
            && (!self.is_blank_zero() || self.ends_at_point())
        {
            if let Some(place) = template.sign {
                if matches!(place, SignPlace::Before(_)) {
                    self.out.push(if self.negative { '-' } else { '+' });
                    self.sign_written = true;
                }
            } else if self.sign_needed_brackets {
                self.out.push(if self.negative { '<' } else { ' ' });
                self.sign_written = true;
            } else {
                if self.negative {
                    self.out.push('-');
                } else if !template.fill {
                    self.out.push(' ');
                }
                self.sign_written = true;
            }
        }
        if self.place < self.leading && (!template.has_zero || template.zero_start > self.place) {
            if !template.fill {
                self.out.push(' ');
            }
        } else if template.has_zero && self.place < self.leading && template.zero_start <= self.place {
            self.out.push('0');
            self.in_number = true;
        } else {
            self.number_part(part);
        }
        let mut end = self.count + usize::from(self.leading > 0) + usize::from(template.has_point);
        if self.last == Some(self.next) {
            end = self.place;
        }
        if self.place + 1 == end {
            if self.sign_written && self.sign_needed_brackets {
                self.out.push(if self.negative { '>' } else { ' ' });
            } else if template.sign == Some(SignPlace::After) {
                self.out.push(if self.negative { '-' } else { '+' });
            }
        }
        self.place += 1;
    }

    fn number_part(&mut self, part: Part) {
        let Some(&digit) = self.digits.get(self.next) else { return };
        if digit == b'.' {
            self.out.push('.');
        } else if self.last.is_some_and(|last| self.next > last) && part != Part::Zero {
        } else if self.is_blank_zero() {
            if !self.template.fill {
                self.out.push(' ');
            } else if self.ends_at_point() {
                self.out.push('0');
            }
        } else {
            self.out.push(char::from(digit));
            self.in_number = true;
        }
        self.next += 1;
    }
}

/// `numeric_out_sci`: one digit before the point, at least two in the exponent.
fn scientific(value: &Numeric, digits: usize) -> String {
    let mut exponent = 0_i32;
    if !value.is_zero() {
        let text = value.abs().value().to_string();
        exponent = text.len() as i32 - 1 - value.scale() as i32;
    }
    let scaled = |exponent: i32| {
        let power = Numeric::new(ten_to(exponent.unsigned_abs()), 0);
        if exponent >= 0 {
            value.divide_to(&power, digits as u32)
        } else {
            value.multiply(&power).rescaled(digits as u32)
        }
    };
    let mut mantissa = scaled(exponent);
    // rounding may add a digit
    if mantissa.abs().compare(&Numeric::new(10.into(), 0)) != std::cmp::Ordering::Less {
        exponent += 1;
        mantissa = scaled(exponent);
    }
    let sign = if value.is_negative() { "" } else { " " };
    format!("{sign}{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn roman(value: i64, lower: bool, fill: bool) -> String {
    const STEPS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut text = String::new();
    if (1..=ROMAN_MAX).contains(&value) {
        let mut rest = value;
        for (step, letters) in STEPS {
            while rest >= step {
                text.push_str(letters);
                rest -= step;
            }
        }
    } else {
        text = "#".repeat(ROMAN_WIDTH);
    }
    if lower {
        text = text.to_lowercase();
    }
    if fill { text } else { format!("{text:>ROMAN_WIDTH$}") }
}

/// `to_number(text, template)`: digits, sign and point of a text; what the template has no digit for is left out.
pub fn read(text: &str, template: &str) -> Result<Numeric> {
    let template = Template::parse(template)?;
    if template.roman.is_some() {
        return Err(Error::unsupported("\"RN\" not supported for input"));
    }
    if template.exponent {
        return Err(Error::unsupported("\"EEEE\" not supported for input"));
    }
    let (mut digits, mut negative) = (String::new(), false);
    let mut letters = text.chars().peekable();
    let mut seen_point = false;
    for part in &template.parts {
        match part {
            Part::Nine | Part::Zero | Part::Sign | Part::Plus | Part::Minus | Part::PlusMinus | Part::Brackets => {
                while letters.next_if_eq(&' ').is_some() {}
                if let Some(sign) = letters.next_if(|letter| matches!(letter, '-' | '+' | '<')) {
                    negative |= sign != '+';
                }
                if matches!(part, Part::Nine | Part::Zero) {
                    if let Some(digit) = letters.next_if(char::is_ascii_digit) {
                        digits.push(digit);
                    } else if !seen_point && letters.next_if_eq(&'.').is_some() {
                        seen_point = true;
                        digits.push('.');
                    }
                }
            }
            Part::Point => {
                if !seen_point && letters.next_if_eq(&'.').is_some() {
                    seen_point = true;
                    digits.push('.');
                }
            }
            Part::Group => _ = letters.next_if_eq(&','),
            Part::Currency | Part::Letter(_) => {
                _ = letters.next_if(|letter| !letter.is_ascii_digit() && !matches!(letter, '-' | '+' | '.'));
            }
            Part::Shift | Part::Exponent | Part::Roman { .. } | Part::Ordinal(_) | Part::Fill => {}
        }
    }
    if letters.any(|letter| letter == '-') {
        negative = true;
    }
    if !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type numeric: \" \""));
    }
    let number = Numeric::parse(&digits)?;
    let number = if template.shift > 0 {
        number.divide(&Numeric::new(ten_to(template.shift as u32), 0))?
    } else {
        number.rescaled(template.after_point as u32)
    };
    Ok(if negative { number.negated() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of table 9.30, as PostgreSQL answers them.
    #[test]
    fn numbers_in_templates() {
        for (value, template, expected) in [
            ("-0.1", "99.99", "  -.10"),
            ("-0.1", "FM9.99", "-.1"),
            ("0.1", "0.9", " 0.1"),
            ("12", "9990999.9", "    0012.0"),
            ("12", "FM9990999.9", "0012."),
            ("485", "999", " 485"),
            ("-485", "999", "-485"),
            ("485", "9 9 9", " 4 8 5"),
            ("1485", "9,999", " 1,485"),
            ("1485", "9G999", " 1,485"),
            ("148.5", "999.999", " 148.500"),
            ("148.5", "FM999.999", "148.5"),
            ("148.5", "FM999.990", "148.500"),
            ("3148.5", "9G999D999", " 3,148.500"),
            ("-485", "999S", "485-"),
            ("-485", "999MI", "485-"),
            ("485", "999MI", "485 "),
            ("485", "FM999MI", "485"),
            ("485", "PL999", "+ 485"),
            ("485", "SG999", "+485"),
            ("-485", "SG999", "-485"),
            ("-485", "9SG99", "4-85"),
            ("-485", "999PR", "<485>"),
            ("485", "RN", "        CDLXXXV"),
            ("485", "FMRN", "CDLXXXV"),
            ("5.2", "FMRN", "V"),
            ("482", "999th", " 482nd"),
            ("485", "\"Good number:\"999", "Good number: 485"),
            ("485.8", "\"Pre:\"999\" Post:\" .999", "Pre: 485 Post: .800"),
            ("12", "99V999", " 12000"),
            ("12.4", "99V999", " 12400"),
            ("12.45", "99V9", " 125"),
            ("0.0004859", "9.99EEEE", " 4.86e-04"),
            ("1234", "999", " ###"),
        ] {
            let number = number(&Numeric::parse(value).unwrap(), template).unwrap();
            assert_eq!(number, expected, "{value} in {template}");
        }
    }

    #[test]
    fn texts_in_templates() {
        for (text, template, expected) in
            [("12,454.8-", "99G999D9S", "-12454.8"), ("-34,338,492", "99G999G999", "-34338492"), ("485", "999", "485")]
        {
            assert_eq!(read(text, template).unwrap().to_string(), expected, "{text} in {template}");
        }
    }
}
