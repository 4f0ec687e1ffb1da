// Package gitlog reads the history of a git repository as a stream of
// commits, each with the files it changed, and the tree of files at any
// commit to check that stream against.
//
// There are two sources. [Run] starts git on a repository and parses what it
// prints while it prints it. [Parse] and [ParseFile] read what git printed
// earlier, with or without -z, compressed with gzip or not:
//
//	git log --first-parent -m --reverse --raw --numstat --no-abbrev -M --format='@%H %ct' HEAD
//
// [Tree], [ReadTree] and [ReadTreeFile] do the same for "git ls-tree -r".
//
// # The history that is read
//
// The history is the first-parent line: the commits one meets by going from
// the tip to its first parent again and again, oldest first. A merge is one
// commit on this line, whose changes are all that the merged branch brought
// in. Commits are numbered along the line from 1, see [Commit.Ordinal].
//
// Starting from no files and applying the changes of the commits 1 to n gives
// exactly the tree at commit n: the same modes, paths and object names.
// Within one commit, take away all that goes (the path of a D, the old path
// of an R) before putting down what comes: a file "a" may go in the same
// commit in which "a/b" comes.
//
// # Line counts
//
// For a path followed through its renames, the running sum of Added minus
// Removed is its number of lines, provided that no change of it was binary:
// where either side of a change is binary, git counts nothing. A submodule
// counts as one line, a symbolic link as the lines of its target (which is
// one, without a newline at its end).
package gitlog
