package main

// order is the order of the drivers.
var order = []string{"sqlite", "postgres", "mysql", "mariadb", "mongo", "dynamodb", "cassandra"}

// goal is what a ratio has to reach.
type goal struct {
	ratio float64
	slow  float64 // instead, where an fdatasync takes a millisecond; 0: the same
	text  string  // instead of a ratio: how else it is shown
}

// at returns the goal where an fdatasync takes so many milliseconds. What appends in
// groups gain depends on that; between the two times it is in between.
func (g goal) at(flush float64) float64 {
	const fast, slow = 0.4, 1
	if g.slow == 0 || flush <= fast {
		return g.ratio
	}
	return g.ratio + (g.slow-g.ratio)*(min(flush, slow)-fast)/(slow-fast)
}

func atLeast(ratio float64) goal { return goal{ratio: ratio} }

var twoReads = goal{text: "two point reads, at the same time"}

var goals = map[string]map[string]goal{
	"sqlite": {
		"W1": atLeast(0.9), "W2": atLeast(1.2), "W3": {ratio: 4, slow: 5}, "W3b": atLeast(1.2), "W4": atLeast(1.5),
		"W5": atLeast(1.3), "W6": atLeast(1.3), "W6-snapshot": atLeast(50), "W7": atLeast(1.3),
	},
	"postgres": {
		"W1": atLeast(0.95), "W2": atLeast(0.95), "W3": {ratio: 1.3, slow: 0.95}, "W3b": atLeast(1.2), "W4": atLeast(3),
		"W5": atLeast(1.3), "W6": atLeast(1.3), "W6-snapshot": atLeast(18), "W7": atLeast(1.3),
	},
	"mysql":   mysql,
	"mariadb": mysql,
	"mongo": {
		"W1": atLeast(0.9), "W2": atLeast(0.9), "W3": atLeast(1), "W3b": atLeast(0.8), "W4": atLeast(1.5),
		"W5": atLeast(1), "W6": atLeast(1), "W6-snapshot": twoReads, "W7": atLeast(0.35),
	},
	"dynamodb": {
		"W1": atLeast(0.9), "W2": atLeast(0.9), "W3": atLeast(0.85), "W3b": atLeast(0.8), "W4": atLeast(1.5),
		"W5": atLeast(1), "W6": atLeast(1), "W6-snapshot": twoReads, "W7": atLeast(0.35),
	},
	"cassandra": {
		"W1": atLeast(0.85), "W2": atLeast(0.8), "W3": atLeast(0.8), "W3b": atLeast(0.8), "W4": atLeast(1.5),
		"W5": atLeast(1), "W6": atLeast(1), "W6-snapshot": twoReads, "W7": atLeast(0.8),
	},
}

var mysql = map[string]goal{
	"W1": atLeast(0.9), "W2": atLeast(0.9), "W3": atLeast(1.2), "W3b": atLeast(1), "W4": atLeast(2),
	"W5": atLeast(1.2), "W6": atLeast(1.2), "W6-snapshot": atLeast(10), "W7": atLeast(1.2),
}

// workload is one that is measured beside raw.
type workload struct {
	key    string // the name of the benchmark
	label  string
	events float64 // of an operation
	rate   bool    // shown as events a second, and not as ms an operation
}

var workloads = []workload{
	{"W1", "W1: one event, new stream", 1, true},
	{"W1-followed", "the same, with a feed reader", 1, true},
	{"W2", "W2: ten events", 1, true},
	{"W2-followed", "the same, with a feed reader", 1, true},
	{"W3", "W3: 16 writers, own streams", 1, true},
	{"W3-followed", "the same, with a feed reader", 1, true},
	{"W3b", "W3b: 4 processes of 8 writers", 1, true},
	{"W4", "W4: 16 writers, one stream", 1, true},
	{"W4-followed", "the same, with a feed reader", 1, true},
	{"W5", "W5: read a stream of 1,000", 1, true},
	{"W6", "W6: load an aggregate of 1,000", 1000, false},
	{"W6-snapshot", "W6: the same, with a snapshot", 1000, false},
	{"W7", "W7: feed of 100,000", 1, true},
}
