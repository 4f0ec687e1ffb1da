package cassandra

import "strings"

// texts are the statements, with the names of the tables.
type texts struct {
	meta                                            string
	append, state, states, forward, backward        string
	purgeFlag, purgeRows                            string
	dirty, overdue, clear                           string
	putLog, log, logBefore                          string
	registers, raise, list                          string
	loadCheckpoint, firstCheckpoint, nextCheckpoint string
	listCheckpoints, deleteCheckpoint               string
	loadSnapshot, saveSnapshot, newGeneration       string
	dropGeneration, dropSnapshots, closeSnapshots   string
}

func (cfg *Config) texts() *texts {
	var pairs []string
	for _, t := range tables {
		pairs = append(pairs, "{"+t.name+"}", cfg.qualified(t.name))
	}
	names := strings.NewReplacer(pairs...).Replace
	const rows = "SELECT first, data, head, dirty, overdue, purged FROM {events} WHERE stream = ? AND bucket = ? AND "
	return &texts{
		meta: names("SELECT version, bucket, slots, levels FROM {meta} WHERE key = ?"),

		// The condition on id makes Cassandra read the row that is to be written, and
		// not the first one of the partition with all its data; and a refusal says
		// whose row is there.
		append:   names("UPDATE {events} SET head = ?, dirty = ?, overdue = ?, id = ?, data = ? WHERE stream = ? AND bucket = ? AND first = ? IF head = ? AND id = null"),
		state:    names("SELECT DISTINCT stream, bucket, head, dirty, overdue, purged FROM {events} WHERE stream = ? AND bucket = ?"),
		states:   names("SELECT DISTINCT stream, bucket, head, dirty, overdue, purged FROM {events} WHERE stream = ? AND bucket IN ?"),
		forward:  names(rows + "first >= ? AND first <= ? ORDER BY first ASC LIMIT ?"),
		backward: names(rows + "first >= ? AND first <= ? ORDER BY first DESC LIMIT ?"),

		purgeFlag: names("UPDATE {events} SET purged = true WHERE stream = ? AND bucket = ? IF head = ?"),
		purgeRows: names("DELETE FROM {events} WHERE stream = ? AND bucket = ? AND first >= ? AND first <= ?"),

		dirty:   names("SELECT DISTINCT stream, bucket, head, writetime(dirty) FROM {events} WHERE dirty = ? LIMIT ?"),
		overdue: names("SELECT DISTINCT stream, bucket, head, writetime(overdue) FROM {events} WHERE overdue = ? LIMIT ?"),
		clear:   names("DELETE dirty, overdue FROM {events} USING TIMESTAMP ? WHERE stream = ? AND bucket = ?"),

		putLog:    names("INSERT INTO {log} (bucket, first, spans) VALUES (?, ?, ?) IF NOT EXISTS"),
		log:       names("SELECT first, spans FROM {log} WHERE bucket = ? AND first >= ? LIMIT ?"),
		logBefore: names("SELECT first, spans FROM {log} WHERE bucket = ? AND first <= ? ORDER BY first DESC LIMIT 1"),

		registers: names("SELECT stream, v, writetime(v) FROM {seqv} WHERE shard = ? AND stream IN ?"),
		raise:     names("INSERT INTO {seqv} (shard, stream, v) VALUES (?, ?, ?) USING TIMESTAMP ?"),
		list:      names("SELECT stream, v FROM {seqv} WHERE shard = ? AND stream >= ? LIMIT ?"),

		loadCheckpoint:   names("SELECT rev, position, seen_at, seen_id FROM {checkpoints} WHERE name = ?"),
		firstCheckpoint:  names("INSERT INTO {checkpoints} (name, rev, position, seen_at, seen_id) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS"),
		nextCheckpoint:   names("UPDATE {checkpoints} SET rev = ?, position = ?, seen_at = ?, seen_id = ? WHERE name = ? IF rev = ?"),
		listCheckpoints:  names("SELECT name, rev, position, seen_at, seen_id FROM {checkpoints}"),
		deleteCheckpoint: names("DELETE FROM {checkpoints} WHERE name = ? IF EXISTS"),

		loadSnapshot:   names("SELECT generation, data, closed FROM {snapshots} WHERE stream = ? AND kind = ? LIMIT 1"),
		saveSnapshot:   names("INSERT INTO {snapshots} (stream, kind, generation, data) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"),
		newGeneration:  names("INSERT INTO {snapshots} (stream, kind, generation) VALUES (?, ?, ?) USING TIMESTAMP ?"),
		dropGeneration: names("DELETE FROM {snapshots} USING TIMESTAMP ? WHERE stream = ? AND kind = ? AND generation <= ?"),
		dropSnapshots:  names("DELETE FROM {snapshots} USING TIMESTAMP ? WHERE stream = ?"),
		closeSnapshots: names("UPDATE {snapshots} USING TIMESTAMP ? SET closed = true WHERE stream = ?"),
	}
}
