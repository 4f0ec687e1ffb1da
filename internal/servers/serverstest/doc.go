// Package serverstest tests scripts/servers and package servers with the clients
// of the servers, which package servers does not need.
package serverstest
