// Package estest holds tests of package es with libraries that es does not need
// itself: Tink and Protocol Buffers. Nobody imports it, so that who uses es gets
// none of them.
package estest
