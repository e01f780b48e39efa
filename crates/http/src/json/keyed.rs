//! Records from JSON objects and from nothing else.
//!
//! Structs that serde derives can also be read from a list of their fields' values in order, which no
//! document of ours says and which would make the order of fields part of the API. This wrapper asks
//! for an object wherever a struct is wanted, at every depth; all else passes as it is. What serde
//! buffers first (untagged enums, `tag`) is read from its buffer, out of our sight.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Around whatever reads or is read: a deserializer, and every visitor, seed and access below it.
pub(super) struct Keyed<T>(pub(super) T);

// Of serde's many methods, all but a few do the same here.
macro_rules! as_it_is {
    (deserialize: $($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Keyed(visitor))
        }
    )* };
    (visit: $($method:ident($value:ty))*) => { $(
        fn $method<E: Error>(self, value: $value) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )* };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Keyed<D> {
    type Error = D::Error;

    as_it_is! { deserialize:
        deserialize_any deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_option deserialize_unit
        deserialize_seq deserialize_map deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Keyed(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Keyed(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Keyed(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(length, Keyed(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0
            .deserialize_tuple_struct(name, length, Keyed(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Keyed(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Keyed<V> {
    type Value = V::Value;

    as_it_is! { visit:
        visit_bool(bool)
        visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128)
        visit_f32(f32) visit_f64(f64) visit_char(char)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(formatter)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Keyed(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Keyed(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Keyed(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Keyed(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Keyed(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Keyed<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Keyed(from))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Keyed<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Keyed(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

/// Keys are texts, so only the values can hold records.
impl<'de, A: MapAccess<'de>> MapAccess<'de> for Keyed<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Keyed(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Keyed<A> {
    type Error = A::Error;
    type Variant = Keyed<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, content) = self.0.variant_seed(seed)?;
        Ok((name, Keyed(content)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Keyed<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Keyed(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(length, Keyed(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.newtype_variant_seed(Object(visitor))
    }
}

/// Reads an object for a visitor of fields.
struct Object<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Object<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        from.deserialize_map(Keyed(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Point {
        x: u64,
        y: Option<i8>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Named(Point);

    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Nothing,
        At(Point),
        Between(Point, Point),
        Around { center: Point, radius: f64 },
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Everything {
        point: Point,
        maybe: Option<Point>,
        many: Vec<Point>,
        pair: (Point, bool),
        by_number: BTreeMap<u8, Point>,
        named: Option<Named>,
        shapes: Vec<Shape>,
        letter: char,
        any: Value,
    }

    fn read<T: DeserializeOwned>(text: &str) -> Result<T, (String, String)> {
        let mut from = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(Keyed(&mut from))
            .map_err(|error| (error.path().to_string(), error.inner().to_string()))
    }

    #[test]
    fn a_list_is_no_record_at_any_depth() {
        for (text, at) in [
            ("[]", "."),
            (r#"[{"x":1}]"#, "."),
            (r#"{"point":[1]}"#, "point"),
            (r#"{"maybe":[1,2]}"#, "maybe"),
            (r#"{"many":[{"x":1},[1]]}"#, "many[1]"),
            (r#"{"pair":[[1],true]}"#, "pair[0]"),
            (r#"{"by_number":{"7":[1]}}"#, "by_number.7"),
            (r#"{"named":[1]}"#, "named"),
            (r#"{"shapes":[{"At":[1]}]}"#, "shapes[0].At"),
            (
                r#"{"shapes":[{"Between":[{},[1]]}]}"#,
                "shapes[0].Between[1]",
            ),
            (r#"{"shapes":[{"Around":[{},1]}]}"#, "shapes[0].Around"),
            (
                r#"{"shapes":[{"Around":{"center":[1],"radius":1}}]}"#,
                "shapes[0].Around.center",
            ),
        ] {
            let (path, words) = read::<Everything>(text).expect_err(text);
            assert_eq!(path, at, "{text}");
            assert!(
                words.starts_with("invalid type: sequence, expected "),
                "{words}"
            );
        }
    }

    #[test]
    fn all_else_is_read_as_without_it() {
        let text = json!({
            "point": {"x": u64::MAX, "y": -1},
            "maybe": null,
            "many": [{}, {"x": 1}],
            "pair": [{"y": null}, true],
            "by_number": {"7": {"x": 2}},
            "named": {"x": 3},
            "shapes": [
                "Nothing",
                {"At": {"x": 4}},
                {"Between": [{}, {"x": 5}]},
                {"Around": {"center": {}, "radius": 0.5}},
            ],
            "letter": "ü",
            "any": {"list": [1, -1, 1.5, "text", null, {"a": [[]]}]},
        })
        .to_string();
        let plain: Everything = serde_json::from_str(&text).expect("valid");
        assert_eq!(read::<Everything>(&text).expect("valid"), plain);
        assert_eq!(plain.shapes.len(), 4);
        for text in [
            r#"{"many":{}}"#,
            r#"{"letter":1}"#,
            r#"{"shapes":["At"]}"#,
            "1",
            "",
            "{",
        ] {
            let plain = serde_json::from_str::<Everything>(text).expect_err(text);
            let (_, words) = read::<Everything>(text).expect_err(text);
            assert_eq!(words, plain.to_string(), "{text}");
        }
    }
}
