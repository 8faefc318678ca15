//! The metadata event: the types of a chunk. Owns the tree of elements, not reading by the types.

use std::borrow::Cow;

use cairn_model::Limits;

use crate::reader::Reader;
use crate::slot::Slot;
use crate::types::{Field, Shape, Type, Types};
use crate::{Error, Map};

/// A JDK writes about 3,000 strings, 400 types and 3,000 fields.
const STRINGS_MAX: usize = 1 << 18;
const TYPES_MAX: usize = 1 << 16;
const FIELDS_MAX: usize = 1 << 18;
/// Digits of a number, and its sign.
const ID_BYTES_MAX: usize = 20;
/// Elements within elements: annotations of fields of types, four deep.
const DEPTH_MAX: usize = 16;

/// Reads what follows the type of the metadata event.
pub(crate) fn read<'a>(mut reader: Reader<'a>, limits: &Limits) -> Result<Types<'a>, Error> {
    // When it was written, how long that took, and the number of the metadata.
    for _ in 0..3 {
        reader.long()?;
    }
    let strings = strings(&mut reader, limits)?;
    let mut tree = Tree {
        strings: &strings,
        types: Vec::new(),
        by_id: Map::default(),
        fields: Vec::new(),
    };
    tree.element(&mut reader, 0, None)?;
    Ok(tree.link())
}

fn strings<'a>(reader: &mut Reader<'a>, limits: &Limits) -> Result<Vec<Cow<'a, str>>, Error> {
    let count = reader.count()?;
    if count > STRINGS_MAX {
        return Err(too_many("strings", STRINGS_MAX));
    }
    let decoded = |_| reader.text()?.decode(limits.string_bytes_max);
    (0..count).map(decoded).collect()
}

/// The number of a type. Without looking at all of a long text, which many types may share.
fn id(text: &str) -> Option<i64> {
    if text.len() > ID_BYTES_MAX {
        return None;
    }
    text.parse().ok()
}

#[cold]
fn too_many(what: &str, max: usize) -> Error {
    Error::undecodable(format!("the metadata has more than {max} {what}"))
}

/// The tree in the making. Types may be named before they come.
struct Tree<'a, 's> {
    strings: &'s [Cow<'a, str>],
    types: Vec<Type<'a>>,
    by_id: Map<i64, u32>,
    fields: Vec<RawField>,
}

struct RawField {
    /// Position of the type that has the field.
    of: u32,
    slot: Option<Slot>,
    class_id: i64,
    pool: bool,
    array: bool,
}

/// Attributes of an element that say something about layouts.
#[derive(Default)]
struct Attributes<'s> {
    id: Option<i64>,
    name: Option<usize>,
    class_id: Option<i64>,
    dimension: Option<&'s str>,
    pool: Option<&'s str>,
}

impl<'a, 's> Tree<'a, 's> {
    fn index(&self, reader: &mut Reader<'a>) -> Result<usize, Error> {
        let index = reader.int()?;
        match usize::try_from(index) {
            Ok(at) if at < self.strings.len() => Ok(at),
            _ => Err(Error::undecodable(format!(
                "the metadata has no string {index}"
            ))),
        }
    }

    /// Reads an element and all below it; `class` is the type that it stands directly in.
    fn element(
        &mut self,
        reader: &mut Reader<'a>,
        depth: usize,
        class: Option<u32>,
    ) -> Result<(), Error> {
        if depth >= DEPTH_MAX {
            return Err(Error::undecodable(
                "metadata elements are nested too deeply",
            ));
        }
        let strings = self.strings;
        let kind = &*strings[self.index(reader)?];
        let attributes = self.attributes(reader)?;
        let mut inner = None;
        match (kind, class) {
            ("class", _) => inner = Some(self.class(&attributes)?),
            ("field", Some(class)) => self.field(class, &attributes)?,
            _ => {}
        }
        for _ in 0..reader.count()? {
            self.element(reader, depth + 1, inner)?;
        }
        Ok(())
    }

    fn attributes(&self, reader: &mut Reader<'a>) -> Result<Attributes<'s>, Error> {
        let mut attributes = Attributes::default();
        for _ in 0..reader.count()? {
            let key = self.index(reader)?;
            let at = self.index(reader)?;
            let value = &*self.strings[at];
            match &*self.strings[key] {
                "id" => attributes.id = id(value),
                "name" => attributes.name = Some(at),
                "class" => attributes.class_id = id(value),
                "dimension" => attributes.dimension = Some(value),
                "constantPool" => attributes.pool = Some(value),
                _ => {}
            }
        }
        Ok(attributes)
    }

    fn class(&mut self, attributes: &Attributes<'_>) -> Result<u32, Error> {
        if self.types.len() >= TYPES_MAX {
            return Err(too_many("types", TYPES_MAX));
        }
        let (Some(id), Some(name)) = (attributes.id, attributes.name) else {
            return Err(Error::undecodable("a type has no id or no name"));
        };
        let at = self.types.len() as u32;
        let name = match &self.strings[name] {
            Cow::Borrowed(name) => Cow::Borrowed(*name),
            // Rare, and copied per type: bounded by its length and the number of types.
            Cow::Owned(name) => Cow::Owned(crate::text::shortened(name, 256).to_owned()),
        };
        let shape = match &*name {
            "boolean" | "byte" => Shape::Byte,
            "short" => Shape::Short,
            "char" => Shape::Char,
            "int" => Shape::Int,
            "long" => Shape::Long,
            "float" => Shape::Float,
            "double" => Shape::Double,
            "java.lang.String" => Shape::Text,
            _ => Shape::Struct(at),
        };
        self.types.push(Type {
            name,
            shape,
            fields: Vec::new(),
        });
        self.by_id.insert(id, at);
        Ok(at)
    }

    fn field(&mut self, of: u32, attributes: &Attributes<'_>) -> Result<(), Error> {
        if self.fields.len() >= FIELDS_MAX {
            return Err(too_many("fields", FIELDS_MAX));
        }
        let Some(class_id) = attributes.class_id else {
            return Err(Error::undecodable("a field has no type"));
        };
        let name = attributes.name.map_or("", |at| &*self.strings[at]);
        self.fields.push(RawField {
            of,
            slot: Slot::named(name),
            class_id,
            pool: attributes.pool == Some("true"),
            array: attributes
                .dimension
                .is_some_and(|dimension| dimension != "0"),
        });
        Ok(())
    }

    fn link(self) -> Types<'a> {
        let Self {
            mut types,
            by_id,
            fields,
            ..
        } = self;
        let linked: Vec<(u32, Field)> = fields
            .into_iter()
            .map(|raw| {
                let class = by_id.get(&raw.class_id).copied();
                let shape = class.map_or(Shape::Unknown, |at| types[at as usize].shape);
                let field = Field {
                    slot: raw.slot,
                    class,
                    shape,
                    pool: raw.pool,
                    array: raw.array,
                };
                (raw.of, field)
            })
            .collect();
        let solid = solid(types.len(), &linked);
        for (of, mut field) in linked {
            let empty = match field.shape {
                Shape::Struct(class) => !field.pool && !solid[class as usize],
                _ => false,
            };
            match (empty, field.array) {
                (true, false) => continue,
                // Of an array of nothing only the length is there.
                (true, true) => {
                    field.slot = None;
                    field.shape = Shape::Int;
                    field.array = false;
                }
                (false, _) => {}
            }
            types[of as usize].fields.push(field);
        }
        Types { types, by_id }
    }
}

/// Which types take bytes at all.
fn solid(types: usize, fields: &[(u32, Field)]) -> Vec<bool> {
    let mut solid = vec![false; types];
    // Types that have a field of the type, as chains: the first use of a type, and the next use
    // after a field.
    let mut first = vec![usize::MAX; types];
    let mut next = vec![usize::MAX; fields.len()];
    let mut found = Vec::new();
    for (at, (of, field)) in fields.iter().enumerate() {
        match field.shape {
            Shape::Struct(class) if !field.pool && !field.array => {
                next[at] = first[class as usize];
                first[class as usize] = at;
            }
            _ => found.push(*of),
        }
    }
    while let Some(class) = found.pop() {
        if std::mem::replace(&mut solid[class as usize], true) {
            continue;
        }
        let mut at = first[class as usize];
        while at != usize::MAX {
            found.push(fields[at].0);
            at = next[at];
        }
    }
    solid
}
