use onnward_onnx::TreeLists;

use super::TreeNode;

/// The mode of a split that sends rows up to its threshold below: `BRANCH_LEQ`.
const LEQ: u8 = 0;

/// Returns the trees in the order of their roots. An item is `None` if its tree is not well formed, or has
/// another comparison than `BRANCH_LEQ`.
pub fn trees_of(lists: &TreeLists) -> impl Iterator<Item = Option<Vec<TreeNode>>> {
    lists.roots.iter().map(|root| tree_below(lists, *root))
}

/// Returns the tree below a split, level by level.
fn tree_below(lists: &TreeLists, root: u32) -> Option<Vec<TreeNode>> {
    let mut sources = vec![(root, false)];
    let mut tree = Vec::new();
    while let Some(&(source, is_leaf)) = sources.get(tree.len()) {
        let source = source as usize;
        if is_leaf {
            tree.push(TreeNode::Leaf { weights: [*lists.weights.get(source)?, 0.0] });
            continue;
        }
        // A node that is reached twice could be copied without end.
        if lists.modes.get(source) != Some(&LEQ) || sources.len() > 2 * lists.splits() {
            return None;
        }
        let below = sources.len();
        for (children, leaves) in lists.children.iter().zip(&lists.leaves) {
            sources.push((*children.get(source)?, *leaves.get(source)?));
        }
        tree.push(TreeNode::Split {
            column: *lists.columns.get(source)? as usize,
            threshold: *lists.thresholds.get(source)?,
            below,
            above: below + 1,
        });
    }
    Some(tree)
}
