# Splits lines of Rust into code and text. The checks beside it load this file first.
#
# split_rust(line) sets `code`, in which each string and comment is a space, and `text`, which holds only those. Strings and
# comments may go over several lines, so every line of a file must come in order, after start_rust().

function start_rust() {
    in_string = in_comment = 0
}

function split_rust(line,    at, rest) {
    code = text = ""
    if (!in_string && !in_comment && line !~ /["'\/]/) {
        code = line
        return
    }
    rest = line
    while (rest != "") {
        if (in_string) {
            rest = end_string(rest)
        } else if (in_comment) {
            rest = end_comment(rest)
        } else if (match(rest, /["']|\/\/|\/\*/)) {
            code = code substr(rest, 1, RSTART - 1)
            rest = begin_text(substr(rest, RSTART))
        } else {
            code = code rest
            return
        }
    }
}

# `rest` begins with a quotation mark, an apostrophe or a comment.
function begin_text(rest,    hashes) {
    if (rest ~ /^\/\//) {
        text = text " " rest
        return ""
    }
    if (rest ~ /^\/\*/) {
        in_comment = 1
        return substr(rest, 3)
    }
    if (rest ~ /^'/) {
        # A character, or else a lifetime.
        if (match(rest, /^'(\\[^']+|\\'|[^\\'\200-\377]|[\200-\377]+)'/)) {
            code = code " "
            return substr(rest, RLENGTH + 1)
        }
        code = code "'"
        return substr(rest, 2)
    }
    in_string = 1
    string_end = "\""
    is_raw = 0
    if (match(code, /(^|[^A-Za-z0-9_])b?r#*$/)) {
        is_raw = 1
        hashes = substr(code, RSTART)
        gsub(/[^#]/, "", hashes)
        string_end = "\"" hashes
    }
    code = code " "
    text = text " \""
    return substr(rest, 2)
}

function end_string(rest,    at) {
    if (is_raw) {
        at = index(rest, string_end)
        if (at == 0) {
            text = text rest
            return ""
        }
        in_string = 0
        text = text substr(rest, 1, at)
        return substr(rest, at + length(string_end))
    }
    while (match(rest, /["\\]/)) {
        if (substr(rest, RSTART, 1) == "\"") {
            in_string = 0
            text = text substr(rest, 1, RSTART)
            return substr(rest, RSTART + 1)
        }
        # An escape, such as a quotation mark's.
        text = text substr(rest, 1, RSTART - 1) " "
        rest = substr(rest, RSTART + 2)
    }
    text = text rest
    return ""
}

function end_comment(rest,    at) {
    at = index(rest, "*/")
    if (at == 0) {
        text = text rest
        return ""
    }
    in_comment = 0
    text = text substr(rest, 1, at - 1)
    return substr(rest, at + 2)
}
