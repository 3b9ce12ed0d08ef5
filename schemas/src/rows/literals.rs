//! How a feature's name and its categories stand in a text of JSON, to be found there without looking for their ends.

use crate::feature::Feature;

/// How many bytes a literal has at most: two halves that are compared at once.
const MAX_BYTES: usize = 2 * HALF;
const HALF: usize = size_of::<u128>();
/// A feature with more categories has no literals: a bit stands for each.
const MAX_CATEGORIES: usize = u32::BITS as usize;

/// The bytes that come next in a text.
type Window = [u128; 2];

/// What is found in a text by comparing all of its bytes at once.
#[derive(Debug, Clone, PartialEq)]
struct Literal {
    bytes: Window,
    /// Which bytes count: all of them up to its length.
    mask: Window,
    len: usize,
}

impl Literal {
    /// `None` for what is too long, or is written in another way than as it is.
    fn new(text: &str, quoted: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        let (mut bytes, mut mask) = ([0; MAX_BYTES], [0; MAX_BYTES]);
        bytes.get_mut(..quoted.len())?.copy_from_slice(quoted.as_bytes());
        mask[..quoted.len()].fill(u8::MAX);
        let [bytes, mask] = [window(&bytes)?, window(&mask)?];
        text.bytes().all(is_plain).then_some(Self { bytes, mask, len: quoted.len() })
    }

    fn is_at(&self, [low, high]: Window) -> bool {
        let differs = [(low ^ self.bytes[0]) & self.mask[0], (high ^ self.bytes[1]) & self.mask[1]];
        differs[0] | differs[1] == 0
    }
}

/// `None` where fewer bytes are left.
fn window(text: &[u8]) -> Option<Window> {
    let (low, rest) = text.split_first_chunk::<HALF>()?;
    Some([u128::from_le_bytes(*low), u128::from_le_bytes(*rest.first_chunk()?)])
}

/// The literals of one feature.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Literals {
    /// `"name":`.
    name: Option<Literal>,
    /// `"category"`, in the order of their codes: all of them or none.
    categories: Vec<Literal>,
}

impl Literals {
    pub(crate) fn of(feature: &Feature) -> Self {
        let name = &feature.name;
        let category = |value: &String| Literal::new(value, &format!("\"{value}\""));
        let values =
            feature.categories().filter(|values| !feature.is_text() && values.len() <= MAX_CATEGORIES);
        let categories = values.and_then(|values| values.iter().map(category).collect());
        Self { name: Literal::new(name, &format!("\"{name}\":")), categories: categories.unwrap_or_default() }
    }

    /// How many bytes the feature's name has, if the text begins with it.
    pub(super) fn name_at(&self, text: &[u8]) -> Option<usize> {
        let name = self.name.as_ref()?;
        name.is_at(window(text)?).then_some(name.len)
    }

    /// The code of the category that the text begins with, and how many bytes it has.
    pub(super) fn category_at(&self, text: &[u8]) -> Option<(usize, usize)> {
        let window = window(text)?;
        // Which one comes is a matter of chance, which a processor guesses wrong: all are compared, without a branch.
        let found = |(code, literal): (usize, &Literal)| u32::from(literal.is_at(window)) << code;
        let found = self.categories.iter().enumerate().map(found).fold(0, |all, one| all | one);
        let code = found.trailing_zeros() as usize;
        self.categories.get(code).map(|literal| (code, literal.len))
    }
}
