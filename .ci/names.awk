# Reads the list of denied names, then every file given, for .ci/names; see there. Wants rust.awk.

BEGIN {
    read_list()
    check_paths()
}

FNR == 1 {
    is_rust = FILENAME ~ /\.rs$/
    last_text = ""
    start_rust()
}

{
    if (is_rust) {
        split_rust($0)
        check_code(code)
        check_text(text)
    } else {
        check_text($0)
    }
}

END {
    if (is_broken)
        exit 2
    if (summary) {
        for (entry in count)
            printf "%6d  %s -> %s\n", count[entry], substr(entry, index(entry, SUBSEP) + 1), say[entry] | "sort -rn"
        close("sort -rn")
    }
    if (found) {
        printf "%d names that .ci/names.txt denies. Rename them, or exempt a path there and say why.\n", found
        exit 1
    }
    print "No name is denied."
}

# Lines of the list: `denied | say instead | where`; see its head.
function read_list(    line, kind, parts, parts_count, number, entry) {
    while ((getline line < list) > 0) {
        number++
        sub(/(^|[ \t])#.*$/, "", line)
        gsub(/^[ \t]+|[ \t]+$/, "", line)
        if (line == "")
            continue
        if (line ~ /^\[(code|words|paths|exempt)\]$/) {
            kind = substr(line, 2, length(line) - 2)
            continue
        }
        parts_count = split(line, parts, /[ \t]*\|[ \t]*/)
        if (kind == "" || parts_count < 2 || parts_count > 3) {
            give_up(list ":" number ": want a line `denied | say instead | where`, below a [heading]")
        }
        entry = kind SUBSEP parts[1]
        if (kind == "exempt") {
            exempt_count++
            exempt_path[exempt_count] = pattern(parts[1])
            exempt_name[exempt_count] = parts[2]
            continue
        }
        say[entry] = parts[2]
        where[entry] = where[entry] (entry in where && where[entry] != "" ? "|" : "") pattern(parts[3])
        if (kind == "words") {
            words_count++
            word[words_count] = parts[1]
        }
    }
    close(list)
    if (number == 0) {
        give_up(list " cannot be read")
    }
    # One expression finds the lines that are worth a closer look.
    for (number = 1; number <= words_count; number++)
        any_word = any_word (number > 1 ? "|" : "") tolower(word[number])
}

function give_up(reason) {
    print reason
    is_broken = 1
    exit 2
}

# The regular expression for a list of paths with `*`, separated by commas.
function pattern(paths) {
    if (paths == "")
        return ""
    gsub(/[ \t]/, "", paths)
    gsub(/[.+?()]/, "[&]", paths)
    gsub(/\*/, ".*", paths)
    gsub(/,/, "|", paths)
    return "^(" paths ")$"
}

function is_denied(kind, name, path,    number, entry) {
    entry = kind SUBSEP name
    if (!(entry in where) || (where[entry] != "" && path !~ where[entry]))
        return 0
    for (number = 1; number <= exempt_count; number++)
        if ((exempt_name[number] == "*" || exempt_name[number] == name) && path ~ exempt_path[number])
            return 0
    return 1
}

function deny(at, kind, name) {
    found++
    count[kind, name]++
    if (!summary)
        printf "%s: `%s`: say `%s` instead\n", at, name, say[kind, name]
}

# Whole identifiers, and those behind `fn`, `mod` or a dot.
function check_code(line,    before, name, token) {
    while (match(line, /[A-Za-z_][A-Za-z0-9_]*/)) {
        name = substr(line, RSTART, RLENGTH)
        token = ""
        # A field or a method, and not the end of a range.
        if (substr(" " line, RSTART, 1) == "." && substr("  " line, RSTART, 1) != ".")
            token = "." name
        else if (before == "fn" || before == "mod")
            token = before " " name
        if (token != "" && is_denied("code", token, FILENAME))
            deny(FILENAME ":" FNR, "code", token)
        else if (is_denied("code", name, FILENAME))
            deny(FILENAME ":" FNR, "code", name)
        before = name
        line = substr(line, RSTART + RLENGTH)
    }
}

# Whole words, whatever their case. A phrase may go over the end of a line.
function check_text(line,    lower, all, start, number, name, seen, at, after, word_at) {
    check_quoted(line)
    sub(/^[ \t]*(\/\/[\/!]?|#|[*-]|>)?[ \t]*/, "", line)
    lower = tolower(line)
    all = last_text " " lower
    start = length(last_text) + 1
    last_text = lower
    if (any_word == "" || all !~ any_word)
        return
    for (number = 1; number <= words_count; number++) {
        name = tolower(word[number])
        seen = all
        at = 0
        while ((word_at = index(seen, name)) > 0) {
            at += word_at
            after = at + length(name)
            seen = substr(all, at + 1)
            # What ended before this line has been counted there.
            if (after - 1 <= start || is_part(all, at, after) || is_value(all, at, after))
                continue
            if (is_denied("words", word[number], FILENAME))
                deny(FILENAME ":" FNR, "words", word[number])
        }
    }
}

# Whether letters, digits or underscores go on before or behind it.
function is_part(all, at, after) {
    return (at > 1 && substr(all, at - 1, 1) ~ /[A-Za-z0-9_\/]/) || substr(all, after, 1) ~ /[A-Za-z0-9_\/]/
}

# Alone in quotation marks or backticks it is a value, such as one of the API, and no word.
function is_value(all, at, after,    mark) {
    mark = substr(all, at - 1, 1)
    return at > 1 && mark ~ /["`]/ && mark == substr(all, after, 1)
}

# `Identifiers` of the code that documents quote, if they look like nothing else.
function check_quoted(line,    name) {
    while (match(line, /`[A-Za-z_][A-Za-z0-9_:]*(\(\))?`/)) {
        name = substr(line, RSTART + 1, RLENGTH - 2)
        sub(/\(\)$/, "", name)
        if (name ~ /[A-Z_]/ && is_denied("code", name, FILENAME))
            deny(FILENAME ":" FNR, "code", name)
        line = substr(line, RSTART + RLENGTH)
    }
}

# Names of files, without their ends, and of folders.
function check_paths(    number, parts, parts_count, part, name, done, folder) {
    for (number = 1; number < ARGC; number++) {
        parts_count = split(ARGV[number], parts, "/")
        folder = ""
        for (part = 1; part <= parts_count; part++) {
            folder = folder (part > 1 ? "/" : "") parts[part]
            name = parts[part]
            sub(/\..*$/, "", name)
            if (name != "" && !(folder in done) && is_denied("paths", name, folder))
                deny(folder, "paths", name)
            done[folder] = 1
        }
    }
}
