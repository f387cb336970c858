use tl_model::{Error, ErrorCode, content_type};
use tl_wire::query;

/// Query parameters. What nobody asks for is refused at the end, so that a misspelt name does not
/// silently change what is meant.
pub struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes());
        let pairs = pairs.map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self { pairs: pairs.collect(), known: Vec::new() }
    }

    /// Reads the parameters of a body of this media type.
    pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Self, Error> {
        let essence = content_type.map(content_type::essence).unwrap_or_default();
        if essence.eq_ignore_ascii_case(query::JSON) {
            let pairs = query::read(body).map_err(|error| invalid(error.to_string()))?;
            return Ok(Self { pairs, known: Vec::new() });
        }
        match std::str::from_utf8(body) {
            Ok(text) if essence.eq_ignore_ascii_case(query::FORM) => Ok(Self::parse(text)),
            Err(_) if essence.eq_ignore_ascii_case(query::FORM) => {
                Err(invalid("the parameters are not text".to_owned()))
            }
            _ => {
                let detail = format!("send the parameters as {} or {}", query::FORM, query::JSON);
                Err(Error::new(ErrorCode::MediaTypeUnsupported, detail))
            }
        }
    }

    /// A parameter that may be given once.
    ///
    /// # Errors
    ///
    /// `parameter_invalid` if it is given twice.
    pub fn one(&mut self, name: &'static str) -> Result<Option<String>, Error> {
        let mut values = self.many(name);
        if values.len() > 1 {
            return Err(invalid(format!("`{name}` is given more than once")));
        }
        Ok(values.pop())
    }

    /// A parameter that may be given several times.
    pub fn many(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let of_name = |(key, value): (String, String)| match key == name {
            true => Ok(value),
            false => Err((key, value)),
        };
        let (mut values, mut rest) = (Vec::new(), Vec::new());
        for pair in std::mem::take(&mut self.pairs) {
            match of_name(pair) {
                Ok(value) => values.push(value),
                Err(pair) => rest.push(pair),
            }
        }
        self.pairs = rest;
        values
    }

    /// A number that may be given once.
    ///
    /// # Errors
    ///
    /// `parameter_invalid` if it is no number, or not within the bounds.
    pub fn number(
        &mut self,
        name: &'static str,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Error> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if bounds.contains(&number) => Ok(Some(number)),
            _ => {
                let (least, most) = bounds.into_inner();
                Err(invalid(format!("`{name}` is a number from {least} to {most}")))
            }
        }
    }

    /// A switch: `true` or `false`, or just the name.
    ///
    /// # Errors
    ///
    /// `parameter_invalid` if it is something else.
    pub fn switch(&mut self, name: &'static str) -> Result<bool, Error> {
        match self.one(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(invalid(format!("`{name}` is true or false"))),
        }
    }

    /// Refuses what is left.
    ///
    /// # Errors
    ///
    /// `parameter_invalid`, naming the parameter and those that exist.
    pub fn finish(self) -> Result<(), Error> {
        let Some((name, _)) = self.pairs.first() else { return Ok(()) };
        let name: String = name.chars().take(40).collect();
        let known = match self.known.is_empty() {
            true => "there are none here".to_owned(),
            false => format!("there are {}", self.known.join(", ")),
        };
        Err(invalid(format!("there is no parameter `{name}`; {known}")))
    }
}

fn invalid(detail: String) -> Error {
    Error::new(ErrorCode::ParameterInvalid, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_by_name() {
        let mut query = Query::parse("a=1&b=x%20y&b=z&c&d=true");
        assert_eq!(query.one("a"), Ok(Some("1".into())));
        assert_eq!(query.many("b"), ["x y", "z"]);
        assert_eq!((query.switch("c"), query.switch("d")), (Ok(true), Ok(true)));
        assert_eq!(query.one("e"), Ok(None));
        query.finish().expect("nothing is left");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Query::parse("a=1&a=2").one("a").is_err());
        assert!(Query::parse("a=x").number("a", 1..=5).is_err());
        assert!(Query::parse("a=6").number("a", 1..=5).is_err());
        assert!(Query::parse("a=maybe").switch("a").is_err());
        let mut query = Query::parse("aftr=1");
        let _ = query.one("after");
        let error = query.finish().expect_err("refused");
        assert_eq!(error.detail, "there is no parameter `aftr`; there are after");
    }
}
