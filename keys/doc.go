// Package keys holds keys for the encryption of events: a [Ring] of keys of which
// one encrypts and all decrypt, for a whole store, and [Memory], a key for each
// subject, so that the data of one subject can be made unreadable for good.
//
//	ring, err := keys.ParseRing(os.Getenv("EVENT_KEYS"))
//	store, err := es.Open("sqlite", "bank.db",
//		es.Encrypt(es.SingleKey(ring), es.EncryptTypes("user.signed_up")))
//
// Everything here is AES-256-GCM of the standard library. Nothing that this
// package returns shows the bytes of a key when it is printed, logged or
// encoded; [Key.Reveal] and [Ring.Reveal] are the only ways to see them.
package keys
