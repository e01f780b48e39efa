//! Query strings: parsed into a struct, refused with the name of the parameter at fault.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use pinfold_model::Error;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The query string as `T`.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parse_pairs(pairs(&parts.uri)?).map(Self)
    }
}

/// The decoded parameters in order.
pub fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Failure> {
    let text = uri.query().unwrap_or_default();
    serde_urlencoded::from_str(text)
        .map_err(|_| Error::invalid("query", "the query string is not valid UTF-8").into())
}

/// A struct from decoded parameters, for callers that first take some out.
pub fn parse_pairs<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, Failure> {
    let from = serde::de::value::MapDeserializer::new(
        pairs.into_iter().map(|(name, value)| (name, Word(value))),
    );
    serde_path_to_error::deserialize(from).map_err(|error: serde_path_to_error::Error<Fault>| {
        let path = error.path().to_string();
        let name = if matches!(&*path, "." | "?" | "") {
            "query"
        } else {
            &path
        };
        Error::invalid(name, format!("{name}: {}", error.inner())).into()
    })
}

type Fault = serde::de::value::Error;

/// One value, read as whatever the field wants.
struct Word(String);

impl serde::de::IntoDeserializer<'_, Fault> for Word {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident : $type:ty,)+) => {$(
        fn $method<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.0.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(error) => Err(serde::de::Error::custom(error)),
            }
        }
    )+};
}

impl<'de> serde::Deserializer<'de> for Word {
    type Error = Fault;

    parsed! {
        deserialize_bool => visit_bool: bool,
        deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32,
        deserialize_u64 => visit_u64: u64,
        deserialize_i32 => visit_i32: i32,
        deserialize_i64 => visit_i64: i64,
        deserialize_f64 => visit_f64: f64,
    }

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Wanted {
        limit: Option<u32>,
        follow: Option<bool>,
        path: Option<String>,
    }

    fn read(query: &str) -> Result<Wanted, Failure> {
        let uri: Uri = format!("/x?{query}").parse().expect("a URI");
        parse_pairs(pairs(&uri)?)
    }

    #[test]
    fn parameters_are_decoded_and_typed() {
        let wanted = read("limit=5&follow=true&path=%2Fa+b%25").expect("valid");
        assert_eq!(wanted.limit, Some(5));
        assert_eq!(wanted.follow, Some(true));
        assert_eq!(wanted.path.as_deref(), Some("/a b%"));
        assert_eq!(read("").expect("valid"), Wanted::default());
    }

    #[test]
    fn faults_name_the_parameter() {
        for (query, name) in [
            ("limit=x", "limit"),
            ("limt=5", "limt"),
            ("limit=-1", "limit"),
        ] {
            let failure = read(query).expect_err(query);
            assert_eq!(failure.error().details()["field"], name, "{query}");
        }
        assert!(read("limit=1&limit=2").is_err());
    }
}
