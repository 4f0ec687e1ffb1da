// Package driver is the contract between es and a database.
//
// A driver is small: bytes in, bytes out, optimistic concurrency, and a feed
// that never loses an event. Encoding, compression, encryption, batching,
// retries, size checks, snapshot policies, subscriptions and projections are
// written once, above the drivers. Programs use package es; only authors of
// drivers need this package.
//
// This text is the specification. Each promise is a numbered sentence, and
// package conformance holds at least one check for every one of them. A driver
// is finished when conformance.Run passes.
//
// # What a driver implements
//
// A [Driver] opens a [Store] from a data source name and registers itself with
// [Register] in an init function. A Store has nine methods. What only some
// databases can do is in optional interfaces: [CheckpointStore],
// [SnapshotStore], [GroupAppender], [Notifier], [Settler]. What a store claims
// beyond its method set, and its limits, stand in [Caps].
//
// Requests are checked by [Check] before a store sees them: names are valid,
// there is something to append, no stream and no id occurs twice in a request,
// no limit of Caps is exceeded. A store may rely on that. Positions and
// versions stay below 2^63.
//
// Requests and pages are structs, so that they can grow; a store returns pages
// and never an iterator, so that no connection and no lock is held while the
// caller's code runs. Errors with data are found by errors.As: a store may wrap
// them.
//
// # Records
//
//	R1. A record is read as it was appended: id, type, encoding, tags in their order, data and metadata byte for byte. Nil and empty are equal.
//	R2. The time of a record is the one that the caller gave, in UTC and cut to the microsecond, for every time of the years 1 to 9999 after the first microsecond. No ordering depends on it.
//	R3. A store changes nothing in a request and keeps nothing of it once the call has returned; what a call returns belongs to the caller, and its slices share no capacity.
//	R4. A record read has its stream and its version. A record read from the feed has its position; one read from a stream has the same position, or 0 where it is not known, which may stay so for good and happens only without Caps.PositionOnAppend.
//
// # Names
//
// Streams, types, tags, checkpoint names and snapshot kinds are names: valid
// UTF-8 without NUL, 1 to 255 bytes. Types that begin with "$" are reserved. An
// encoding is 1 to 64 bytes of printable ASCII without blanks; a record has up to
// 32 tags; its id and its time are not zero.
//
//	N1. Names are compared byte for byte: case, accents, trailing blanks and normalization forms distinguish. No collation of a database leaks in.
//	N2. Every name works, up to 255 bytes, and all the longest at once.
//
// # Versions and expected versions
//
//	V1. The first event of a stream has version 1, each further one the next version, without gaps.
//	V2. An exact [Expected] n holds if the last version of the stream is n and it is not closed; 0 ([NoStream]) holds if the stream does not exist.
//	V3. [Any] holds for every stream that is not closed; [Exists] for every stream that has an event and is not closed.
//	V4. Where an expected version does not hold, Append fails with a [*ConflictError] (errors.Is [ErrConflict]) that names the stream, what was expected and a version that the stream has had and that was not expected (0: it does not exist), and nothing is written. Any never fails so; Exists only where the stream does not exist.
//	V5. Of several concurrent appends and deletes with different ids at one exact version of a stream, at most one is ever stored, and the others fail with ErrConflict or ErrStreamDeleted only if one was. The history of each stream is linearizable.
//
// # Append
//
//	A1. An append is atomic: all its records are stored, or none, also when the process or the database is killed in the middle.
//	A2. Where Caps.MaxStreams is above 1, an append to several streams is atomic as well; one part whose expected version does not hold stops all.
//	A3. Append returns one [Appended] a part, in order: the first and the last version, and the position of the last record, or 0 where it is not known yet.
//	A4. A part without records only checks its stream's version, in the same atomic step: of two appends that each check what the other writes, a missing stream included, at most one succeeds. Its Appended is zero.
//	A5. Once Append has returned, ReadStream of every client of the same data returns the records; while a database elects a new primary it may take as long as the driver's page says.
//	A6. What was acknowledged is durable: it survives the kill of the process, the kill of the database and a loss of power. Where a database cannot promise that, or the data is in memory only, the driver's page says so.
//
// # The same append again
//
//	I1. An append that is sent again with the same ids at the same exact expected version succeeds, writes nothing and returns the versions that the first returned, also when the stream has grown since, and the same position, or 0 where it is not known.
//	I2. The ids decide, not the payloads.
//	I3. Only the versions count that the append would take, whichever appends wrote them: two appends of one record each recognise the append of both, and the other way round.
//	I4. Where only some of these versions hold the append's ids, or in another order, it is a conflict.
//	I5. An id is not unique in a store: the same id in another stream, or at another version of the same stream, is legal.
//	I6. An append to several streams is recognised as a whole or not at all: every part with records expects an exact version and is found there; parts without records count as matched. Otherwise the first closed stream decides the error, or, where none is closed, the first part that can never hold again ([Expected.MayHold]), or, where there is none, the first that does not hold.
//	I7. Any and Exists recognise nothing: a second call is a second append.
//	I8. A closed stream recognises no append: what is sent again to it fails with ErrStreamDeleted, which does not say whether it was stored before.
//
// # Unknown outcomes
//
// When a connection breaks or a context ends after a request was sent, a read
// cannot tell what became of it: the request may still be queued. A store
// settles it by sending the same request at the same base version again, on a
// context of its own and for a bounded time: either it applies, or it is
// refused, and then the ids at the base decide (I1). For Any and Exists a store
// therefore takes a concrete base version first.
//
//	U1. A call whose context has ended before it began fails with the context's error, and nothing is written, then or later.
//	U2. A write tells the truth, whether its context ends or its connection breaks while it runs: success only if all is stored; an error other than ErrUnknownOutcome only if nothing is and nothing will be. ErrStreamDeleted is the exception (I8). Once it has told, what still arrives of the call changes nothing, but for what C6 and P5 say.
//	U3. What could not be settled is an [*UnknownOutcomeError] (errors.Is [ErrUnknownOutcome]) with the exact base version of every part that has records; the same request sent again at these bases, its other parts as they were, decides it, but for a conflict of parts whose streams are all below what they expect ([MayHold]): the first request may arrive when they have grown. The same holds for Delete and for each member of a group, those to one stream in their order: a conflict with a version below the base says only that the member before is still unknown. For saving and deleting checkpoints and snapshots it has no parts: the same call may be made again.
//	U4. An error for which [IsTransient] is true says that nothing was applied and that the same call may be made again, which es does. Taking a new base for Any and Exists, settling, and repeating the members of a group that another one failed are part of the call.
//	U5. A read ends soon after its context, with the context's error, and so does a write that was not sent; one that was sent settles for at most a bounded time, 2 seconds unless configured otherwise.
//
// # Reading a stream
//
//	S1. ReadStream returns the records from version From on (0: from the first), in ascending order without gaps.
//	S2. Backward, it returns the records up to version From (0: from the last), in descending order without gaps.
//	S3. A page has at most Limit records (0: as many as the store sees fit). Fewer are legal: only End says that nothing follows. A page that is not the End has at least one record; backward, a page that has version 1 is the End, for a From of 0 would begin at the last again.
//	S4. A stream that does not exist is a [*StreamError] (errors.Is [ErrStreamNotFound]).
//	S5. A From beyond the last version gives, forward, an empty page with End.
//	S6. StreamPage.Head is the last version of the stream when the page was read, and no record of the page is above it.
//	S7. No page shows a part of what an append wrote to its stream unless the rest is in the page or readable by the next call.
//
// # The feed
//
// All events of a store are in one total order, by position. Position 0 lies
// before the first event; gaps are legal. Rule F2 is what makes a feed worth
// having, and what most event stores break.
//
//	F1. ReadAll returns the records after a position in ascending order of position; page by page, every acknowledged event that is not purged appears exactly once, whatever the page size, however many clients write, and however slow they are.
//	F2. Once ReadAll has returned Next = P, for an After that was 0, an earlier Next or the position of a record that ReadAll returned, no event at or below P appears, to whichever client, that was not there before. A reader that begins at another position, of an Append or of Head, may miss events below it that were being written.
//	F3. Every record of a page lies after After and at or below Next; Next is never below After.
//	F4. A page has at most Limit records (0: as many as the store sees fit). A page may be empty with Next moved on. A page that is neither End nor moves Next says that something is held back: the caller asks again.
//	F5. On a store at rest every acknowledged event is returned within a bounded time, by reading alone, and then End.
//	F6. Within a stream, positions rise with versions.
//	F7. Where Caps.PositionOnAppend: Append returns the position that the feed shows, and an append that began after another was acknowledged has a higher one.
//	F8. Elsewhere: what was appended after an event was read from the feed comes after that event.
//	F9. End is true only when the store knows of nothing held back. Where Caps.PositionOnAppend, every event that was acknowledged before ReadAll was called, and lies after After, has then been returned.
//	F10. Where Caps.FilterFeed, a page holds only records that match the [Filter], and Next moves past those that do not.
//	F11. An After above every position that ReadAll, Append and Head have returned to any client fails with [ErrCheckpointAhead], and no other After does. A store decides it on an empty page, by a read that cannot be stale.
//	F12. With FeedQuery.Seen, ReadAll fails with ErrCheckpointAhead if the event at Seen.Position is not the one with Seen.ID, whatever the Filter: the store was restored, failed over or replaced. A purged event still counts as itself; where the store erased its id, every id counts at its position.
//	F13. Head is at or above every Next and every position returned before; ReadAll reaches it without further appends; it is 0 for an empty store.
//	F14. Where Caps.Gapless, the positions are 1, 2, 3 and so on; only purged events are missing.
//	F15. The feed may deliver an append in pieces, with others between them: within each stream in order of version, the parts of several streams in any order.
//	F16. FeedPage.Seen of a page that moves Next is the last event at or below Next that the store has the id of, whatever the Filter, purged or not; zero if there is none. It is the Seen of the following query, and stands in the checkpoint of a reader that stops there.
//
// # Deletion
//
// Where several rules speak of one Delete, the first of D6, D4, D7 and D1 that
// applies decides.
//
//	D1. Delete writes DeleteRequest.Record, of type [TypeDeleted], as the last event of the stream, into the stream and the feed, and closes the stream for good: from then on Append at any expected version, ReadStream and a second Delete fail with a [*StreamError] (errors.Is [ErrStreamDeleted]).
//	D2. With StreamQuery.Deleted, ReadStream returns a tombstoned stream whole, its TypeDeleted record last.
//	D3. [Purge] erases the events as well: once Delete has returned, neither ReadStream with Deleted nor the feed returns them; both return the TypeDeleted record. S1 and S2 hold for what is left; a page may be empty with End. Erased is logical: a backup, a log or an unvacuumed page may still hold bytes.
//	D4. Purge of a tombstoned or purged stream writes no second record, ignores Expected, returns what the first Delete returned, and finishes a purge that was interrupted, snapshots included. A purge that wrote its record and could not erase all is ErrUnknownOutcome.
//	D5. Versions and positions of purged events stay taken and the stream stays closed: a late duplicate of an append resurrects nothing.
//	D6. A Delete sent again with the same record id succeeds, whatever Expected is, and returns what the first returned; a Purge then finishes.
//	D7. Delete of a missing stream is ErrStreamNotFound, whatever Expected is; where Expected does not hold it is a ConflictError, and nothing is written.
//	D8. The snapshots of a stream go with it.
//
// # Listing streams
//
//	L1. ListStreams returns the names of the streams that have an event, closed streams too with Closed set, that begin with Prefix and lie after After, each once, in byte order.
//	L2. A page has at most Limit streams (0: as many as the store sees fit). A page that is not the End has at least one; its Next is the last name of the page and the After of the following one; only End says that nothing follows.
//	L3. StreamInfo.Version is the last version, or an earlier one where Caps.ListLag is set, or 0 where the store does not know it.
//	L4. A listing is up to date, or where Caps.ListLag is set within a bounded time.
//
// # Checkpoints, where a store is a CheckpointStore
//
//	C1. A checkpoint that does not exist is the zero Checkpoint, and no error.
//	C2. SaveCheckpoint, with a new revision, replaces the checkpoint only if its revision is the given one (zero: if there is none), and otherwise fails with [ErrCheckpointConflict]; of two savers one wins.
//	C3. SaveCheckpoint sent again recognises its own revision and succeeds, as long as no other has saved since.
//	C4. A checkpoint is loaded as it was saved, positions up to 2^63-1 included; a load returns what was acknowledged before it began.
//	C5. ListCheckpoints returns all, in byte order of their names, page by page, with Limit, Next and End as in L2.
//	C6. DeleteCheckpoint removes one; of one that does not exist it is no error; a saver that loaded it before then gets ErrCheckpointConflict. A first save, or a delete, that was lost on its way may arrive later, and bring a deleted checkpoint back, or remove one that was saved anew.
//
// # Snapshots, where a store is a SnapshotStore
//
//	P1. A snapshot that does not exist is the zero Snapshot, and no error.
//	P2. There is one snapshot for each stream and kind: a newer version replaces it, an older one is ignored without an error, and of two equal ones either stays, whole.
//	P3. A snapshot is loaded as it was saved; a load returns what was acknowledged before it began.
//	P4. For a closed stream, SaveSnapshot fails with ErrStreamDeleted and keeps nothing; once Delete and every SaveSnapshot that ran beside it have returned, LoadSnapshot returns the zero Snapshot, whatever arrives later. One of unknown outcome may still be kept, until it is made again.
//	P5. DeleteSnapshot removes one; of one that does not exist it is no error; a snapshot of any version can be saved after it. A save, or a delete, that was lost on its way may arrive later, and bring a deleted snapshot back, or remove one that was saved since.
//	P6. For a stream that does not exist, SaveSnapshot keeps the snapshot, or fails with ErrStreamNotFound and keeps nothing.
//
// # Groups, where a store is a GroupAppender
//
//	G1. AppendGroup applies independent requests of one part each, and returns an [Outcome] for each in order, as if each had been appended alone, those to one stream in their order: all of these expect Any. Several groups may run at once, with streams in common and in any order.
//	G2. A request of a group that fails by its stream or its ids takes no other with it.
//
// # Wake-ups, where a store is a Notifier
//
//	W1. Listen calls wake soon after another client of the same data has appended, in whatever way, or deleted. It may lose calls, repeat them and call without cause: it saves polling and replaces none of it.
//	W2. Listen reconnects by itself. It returns when its context ends, with the context's error, or when the store closes, with ErrClosed, and calls wake no more; at once with errors.ErrUnsupported where this store cannot listen.
//
// # Late positions, where a store is a Settler
//
//	T1. A store without Caps.PositionOnAppend is a Settler: Settled returns the last version of a stream that has a position, closed streams included, 0 if none has. ReadAll alone lets it reach the head, and it does not fall. Once it has returned v, the events up to v are at or below Head.
//
// # Errors
//
//	E1. An error that this package has a type or a sentinel for is that one, on every store, and no error code of a database reaches a user in its stead; the cause of any other error stays reachable by errors.As.
//	E2. No password or other secret of a data source name stands in an error.
//	E3. What cannot be what was stored fails with [ErrCorrupt] and is never skipped.
//
// # Lifetime
//
//	X1. All methods may be called concurrently, Close among them.
//	X2. Close may be called again, without an error; after it every call fails with [ErrClosed].
//	X3. Close lets calls that run end, or fail with ErrClosed; a write fails with ErrClosed only if nothing of it is stored and nothing will be. Close leaves no goroutine behind.
//	X4. Close loses nothing that was acknowledged.
//	X5. A store whose connections broke, or whose database was away, goes on by itself: a bounded time after the database can be reached its calls succeed again.
//
// # Opening
//
//	O1. Open of a malformed data source name, or of data that is not the store's, fails with an error that says what is wrong, and leaves no goroutine and no damage.
//	O2. A store opened anew has everything that was there.
//	O3. Open creates what is missing; several processes may do so at once. Where the driver has a parameter ddl=check, it creates nothing, needs no right to, and fails with [ErrSchema] where something is missing.
//	O4. Two stores with different prefixes in one database do not see each other.
//	O5. Data of a schema newer than the driver knows is refused with a [*SchemaError] and not touched.
//	O6. A setting or a server under which a promise cannot be kept is refused, by name.
//	O7. Where Caps.SingleProcess, a second Open beside a running process fails clearly, and succeeds once that has ended or was killed.
//
// # Inside a transaction of the caller's
//
// A driver of an SQL database has a method InTx, which returns a store that works
// inside a transaction of the caller's; its page says how to begin one. While the
// transaction is open, others who write to the same streams may have to wait, or all.
//
//	K1. Its calls keep R, N, V1 to V4, A1 to A4, I, S, L, D and E, and read what the transaction has done: in streams, in listings, and in the feed, which may be held back there at a position that was given up.
//	K2. Others see nothing of it before the commit. From then on A5, A6 and F7 hold for what it has done: all of it is there, at the positions that its calls returned.
//	K3. A rollback leaves nothing behind, and nothing that the feed waits for. What was rolled back can be done again, with the same ids.
//	K4. While it is open, F1 to F4 and F9 hold for every reader. The feed may be held back, before the first event of the transaction, until it ends.
//	K5. V5 holds for transactions and appends beside each other: those that come to an exact version of a stream later wait, or fail.
//	K6. An error that this package has a type or a sentinel for, ErrCorrupt apart, leaves the transaction as it was before the call; after any other the caller rolls back. None is transient: only the caller can begin the transaction again.
//	K7. It implements no optional interface, and its Close does nothing.
//	K8. Once the transaction has ended, a call fails and writes nothing.
//
// # Caps
//
//	M1. Caps are constant.
//	M2. A request at every limit of Caps at once, with the longest names, works.
//	M3. What is not claimed fails with errors.ErrUnsupported and without effect.
package driver
