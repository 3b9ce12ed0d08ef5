# Reads Rust for .ci/docs-style; see there. Wants rust.awk.

BEGIN {
    # Words that end like a verb in the third person, and are none.
    read_words("Always As Besides Bodies Bytes Categories His Its Less Messages Metrics Models Others Perhaps Plus Predictions Rows " \
        "Sections Settings Sometimes Strings This Thus Unless Versions Was Is Whereas Whereabouts Whose Windows Words Yes", nouns)
    # These are nouns where such a word follows.
    read_words("Bars Bins Columns Costs Counts Curves Features Figures Files Groups Keys Labels Limits Lines Lists Names Notes Numbers " \
        "Paths Pieces Plans Points Ports Records Requests Results Samples Shapes Shares Signs Steps Tests Times Trees " \
        "Values Views Weights", either)
    read_words("between from near that which whose with without", followers)
    crates_count = split(crates, crate_of_number, " ")
}

FNR == 1 {
    start_rust()
    forget_doc()
}

{
    was_code = !in_string && !in_comment
    split_rust($0)
    if (was_code && $0 ~ /^[ \t]*\/\/\/([^\/]|$)/) {
        if (!doc_line) {
            doc_line = FNR
            doc = $0
            sub(/^[ \t]*\/\/\/[ \t]?/, "", doc)
        }
        next
    }
    line = code
    gsub(/^[ \t]+|[ \t]+$/, "", line)
    # Attributes between the documentation and its item, on one line or several.
    if (attribute_depth > 0 || line ~ /^#\[/) {
        attributes = attributes line
        opening = closing = line
        attribute_depth += gsub(/\[/, "", opening) - gsub(/\]/, "", closing)
        if (attribute_depth > 0 || line ~ /\]$/)
            next
        sub(/^.*\]/, "", line)
    }
    if (line == "")
        next
    if (is_function(line)) {
        functions++
        if (doc_line && attributes !~ /#\[([a-z_]+::)*test(\]|\()/)
            check(doc)
    }
    forget_doc()
}

END {
    if (summary) {
        for (name in count)
            printf "%6d  %s\n", count[name], name | "sort -rn"
        close("sort -rn")
    }
    if (found) {
        printf "%d of %d documented functions do not begin with what they do: \"Returns the …\", \"Reads …\".\n", found, checked
        exit 1
    }
    printf "The documentation of %d functions begins with what they do.\n", checked
}

function forget_doc() {
    doc_line = attribute_depth = 0
    doc = attributes = ""
}

# `pub(crate) async fn name(`, in a trait or not.
function is_function(line) {
    sub(/^pub(\([^)]*\))?[ \t]+/, "", line)
    while (sub(/^(default|const|async|unsafe|extern)[ \t]+/, "", line))
        ;
    return line ~ /^fn[ \t]+[A-Za-z_]/
}

function check(doc,    words) {
    checked++
    split(doc, words, /[ \t]+/)
    if (begins_with_a_verb(words[1], words[2]))
        return
    found++
    count[crate_of(FILENAME)]++
    if (!summary)
        printf "%s:%d: %s\n", FILENAME, doc_line, doc
}

function begins_with_a_verb(first, second) {
    sub(/[,;:]$/, "", first)
    if (first !~ /^[A-Z][a-z-]*s$/ || first ~ /ss$/ || first in nouns)
        return 0
    if (second == "of" || second == "are" || second == "is")
        return 0
    return !(first in either && second in followers)
}

# The nearest folder above that has a Cargo.toml.
function crate_of(path,    number, folder, best) {
    for (number = 1; number <= crates_count; number++) {
        folder = crate_of_number[number]
        if (index(path, folder "/") == 1 && length(folder) > length(best))
            best = folder
    }
    return best == "" ? "." : best
}

function read_words(text, set,    words, number) {
    for (number = split(text, words, /[ \t]+/); number > 0; number--)
        set[words[number]] = 1
}
