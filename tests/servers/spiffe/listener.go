// Takes the place of the file of go-spiffe's fake Workload API that listens: at a socket, as an agent does.

package fakeworkloadapi

import (
	"net"
	"os"
	"testing"
)

func newListener(tb testing.TB) (net.Listener, error) {
	path := os.Getenv("FAKE_SOCKET")
	_ = os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o777)
	}
	return listener, err
}

func getTargetName(addr net.Addr) string {
	return "unix://" + addr.String()
}
