//! What a topic becomes: text in which `$1` to `$9` stand for groups.

use regex::Captures;

/// A `dest_topic`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Its number.
    Group(usize),
}

impl Destination {
    /// Reads it, for an expression with so many groups. The error is the number of one that it has not.
    pub(super) fn read(text: &str, groups: usize) -> Result<Self, usize> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            // One digit, so that digits of the topic may follow. Other dollars are what they are: `$share`.
            match after.chars().next().and_then(|digit| digit.to_digit(10)) {
                Some(number @ 1..) => {
                    let number = number as usize;
                    if number > groups {
                        return Err(number);
                    }
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    pieces.push(Piece::Group(number));
                    rest = &after[1..];
                }
                _ => {
                    literal.push('$');
                    rest = after;
                }
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Text(literal));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self(pieces))
    }

    /// With what the groups have matched; one that has no part in the match is empty.
    pub(super) fn filled(&self, found: &Captures<'_>) -> String {
        self.with(|number| found.get(number).map_or("", |group| group.as_str()))
    }

    /// As it may look.
    pub(super) fn sample(&self) -> String {
        self.with(|_| "x")
    }

    fn with<'a>(&'a self, group: impl Fn(usize) -> &'a str) -> String {
        let texts = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Group(number) => group(*number),
        });
        texts.collect()
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[track_caller]
    fn check(text: &str, filled: &str) {
        let expression = Regex::new("^(a)(b)(c)?").unwrap();
        let destination = Destination::read(text, 3).unwrap();
        assert_eq!(destination.filled(&expression.captures("abx").unwrap()), filled, "{text}");
    }

    #[test]
    fn groups_stand_where_their_numbers_do() {
        check("z", "z");
        check("$1", "a");
        check("$2/y/$1", "b/y/a");
        check("$1$1$3$2", "aab");
        check("$10", "a0");
        check("$0/$/$x/$$1/ü$2ü", "$0/$/$x/$a/übü");
    }

    #[test]
    fn a_group_that_is_not_there_is_named() {
        assert_eq!(Destination::read("$1/$4", 3), Err(4));
    }
}
