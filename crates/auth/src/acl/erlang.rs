//! Erlang terms, as far as `acl.conf` has them, in nom.

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while, take_while1};
use nom::character::complete::{char, none_of, satisfy};
use nom::combinator::{cut, opt, recognize, value};
use nom::error::{Error, ErrorKind};
use nom::multi::{many0_count, separated_list0};
use nom::sequence::{delimited, pair, preceded, terminated};
use nom::{Err, IResult, Parser};

/// Tuples and lists in each other; the parser calls itself so often.
const MAX_DEPTH: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Atom(String),
    Text(String),
    Tuple(Vec<Self>),
    List(Vec<Self>),
}

/// A term that ends with a dot, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) line: usize,
    pub(super) term: Term,
}

/// All forms of a file, or the line that makes no sense.
pub(super) fn forms(text: &str) -> Result<Vec<Form>, usize> {
    let mut lines = Lines { rest: text, line: 1 };
    let mut forms = Vec::new();
    let mut rest = blank(text).map_or(text, |(rest, ())| rest);
    while !rest.is_empty() {
        let line = lines.of(rest);
        match terminated(term(0), (blank, char('.'), blank)).parse(rest) {
            Ok((after, term)) => {
                forms.push(Form { line, term });
                rest = after;
            }
            // Where it stopped is nearer to what is wrong than where the term begins.
            Err(Err::Error(error) | Err::Failure(error)) => return Err(lines.of(error.input)),
            Err(Err::Incomplete(_)) => return Err(line),
        }
    }
    Ok(forms)
}

/// Counts lines from place to place, never from the start.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl Lines<'_> {
    /// The line in which this rest of the text begins, which is not before the last that was asked for.
    fn of(&mut self, rest: &str) -> usize {
        let (passed, begins) = self.rest.split_at(self.rest.len() - rest.len());
        self.line += passed.bytes().filter(|&byte| byte == b'\n').count();
        self.rest = begins;
        self.line
    }
}

fn term(depth: usize) -> impl FnMut(&str) -> IResult<&str, Term> {
    move |input| {
        if depth > MAX_DEPTH {
            return Err(Err::Failure(Error::new(input, ErrorKind::TooLarge)));
        }
        let several = |open, close| {
            let terms = separated_list0(char(','), delimited(blank, term(depth + 1), blank));
            // An empty one may hold blanks too.
            delimited(pair(char(open), blank), terms, cut(pair(blank, char(close))))
        };
        alt((
            several('{', '}').map(Term::Tuple),
            several('[', ']').map(Term::List),
            delimited(tag("<<"), quoted('"'), tag(">>")).map(Term::Text),
            quoted('"').map(Term::Text),
            quoted('\'').map(Term::Atom),
            atom.map(Term::Atom),
        ))
        .parse(input)
    }
}

fn atom(input: &str) -> IResult<&str, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@');
    let name = recognize(pair(satisfy(|c| c.is_ascii_lowercase()), take_while(is_part)));
    name.map(str::to_owned).parse(input)
}

/// Text in quotes; a backslash takes the next character as it is.
fn quoted(quote: char) -> impl FnMut(&str) -> IResult<&str, String> {
    move |input| {
        let (input, _) = char(quote)(input)?;
        let mut text = String::new();
        let mut rest = input;
        loop {
            match none_of::<_, _, Error<&str>>("")(rest) {
                Ok((after, c)) if c == quote => return Ok((after, text)),
                Ok((after, '\\')) => {
                    let (after, c) = none_of("")(after)?;
                    text.push(c);
                    rest = after;
                }
                Ok((after, c)) => {
                    text.push(c);
                    rest = after;
                }
                // It has no end.
                Err(_) => return Err(Err::Failure(Error::new(input, ErrorKind::Char))),
            }
        }
    }
}

/// Spaces and comments.
fn blank(input: &str) -> IResult<&str, ()> {
    let space = value((), take_while1(char::is_whitespace));
    let comment = value((), preceded(char('%'), opt(is_not("\r\n"))));
    value((), many0_count(alt((space, comment)))).parse(input)
}

/// What a file of them begins with, after spaces and comments; one of comments alone counts.
pub(super) fn begins_with_a_tuple(text: &str) -> bool {
    let rest = blank(text).map_or(text, |(rest, ())| rest);
    rest.starts_with('{') || (rest.is_empty() && text.contains('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(name: &str) -> Term {
        Term::Atom(name.to_owned())
    }

    fn text(text: &str) -> Term {
        Term::Text(text.to_owned())
    }

    #[test]
    fn terms_are_read_with_their_lines() {
        let read =
            forms("%% comment }\n{allow, all}.\n\n{deny,{'and',[{user,\"a\\\"b\"} , <<\"c\">>]},[ ]} . % end\n{}.")
                .unwrap();
        let and = Term::List(vec![Term::Tuple(vec![atom("user"), text("a\"b")]), text("c")]);
        let expected = [
            (2, Term::Tuple(vec![atom("allow"), atom("all")])),
            (4, Term::Tuple(vec![atom("deny"), Term::Tuple(vec![atom("and"), and]), Term::List(Vec::new())])),
            (5, Term::Tuple(Vec::new())),
        ];
        assert_eq!(read, expected.map(|(line, term)| Form { line, term }));
        assert_eq!(forms("  % nothing\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_makes_no_sense_is_named_by_its_line() {
        for (text, line) in [
            ("{allow, all}", 1),
            ("{allow, all}.\n{deny, all", 2),
            ("{allow, all}.\n{deny,\n \"x", 3),
            ("{allow all}.", 1),
            ("{allow, All}.", 1),
            ("{allow, 7}.", 1),
            (".", 1),
        ] {
            assert_eq!(forms(text), Err(line), "{text:?}");
        }
        let deep = format!("{}{}.", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(forms(&deep), Err(1), "it ends");
    }
}
