package doctor

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"weir/signalling/matrix"
)

// reflector answers binding requests with the caller's address, after ignoring the first skip of them.
func reflector(t *testing.T, skip int) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if skip--; skip >= 0 || n != 20 {
				continue
			}
			_, _ = conn.WriteToUDPAddrPort(bindingAnswer([12]byte(b[8:20]), from), from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// bindingAnswer is written by hand after RFC 8489 sections 5 and 14.2.
func bindingAnswer(transaction [12]byte, at netip.AddrPort) []byte {
	b := []byte{0x01, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42}
	b = append(b, transaction[:]...)
	ip, family := at.Addr().Unmap().AsSlice(), byte(1)
	if len(ip) == 16 {
		family = 2
	}
	b = append(b, 0x80, 0x22, 0, 3, 'a', 'b', 'c', 0) // SOFTWARE, padded to four
	b = append(b, 0, 0x20, 0, byte(4+len(ip)), 0, family)
	b = binary.BigEndian.AppendUint16(b, at.Port()^0x2112)
	mask := b[4:20]
	for i, v := range ip {
		b = append(b, v^mask[i])
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-20))
	return b
}

func TestReflect(t *testing.T) {
	seen, err := stun{}.Reflect(t.Context(), []netip.AddrPort{reflector(t, 0), reflector(t, 1)})
	if err != nil || len(seen) != 2 || seen[0] != seen[1] || seen[0].Addr() != netip.MustParseAddr("127.0.0.1") || seen[0].Port() == 0 {
		t.Error(seen, err)
	}
}

func TestMapped(t *testing.T) {
	tx := [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for _, text := range []string{"203.0.113.7:65535", "[2001:db8::7]:1", "0.0.0.0:0"} {
		want := netip.MustParseAddrPort(text)
		answer := bindingAnswer(tx, want)
		if got, ok := mapped(answer, tx); !ok || got != want {
			t.Errorf("%s: %s", text, got)
		}
		if _, ok := mapped(answer, [12]byte{}); ok {
			t.Error("an answer to another's question")
		}
		for n := range answer {
			if _, ok := mapped(answer[:n], tx); ok {
				t.Errorf("%d bytes of %d are enough", n, len(answer))
			}
		}
	}
}

// FuzzMapped: an address that is read from an answer is what the answer was made of.
func FuzzMapped(f *testing.F) {
	tx := [12]byte{1}
	f.Add(bindingAnswer(tx, netip.MustParseAddrPort("203.0.113.7:1")))
	f.Add(bindingAnswer(tx, netip.MustParseAddrPort("[2001:db8::7]:65535")))
	f.Add([]byte{1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42})
	f.Fuzz(func(t *testing.T, b []byte) {
		if at, ok := mapped(b, tx); ok {
			again, ok := mapped(bindingAnswer(tx, at), tx)
			if !ok || again != netip.AddrPortFrom(at.Addr().Unmap(), at.Port()) && again != at {
				t.Fatal(at, again)
			}
		}
	})
}

// The real eyes see something.
func TestHere(t *testing.T) {
	p := Here(nil, nil, matrix.Network{})
	addrs, err := p.Net.Addresses()
	if err != nil || !slices.ContainsFunc(addrs, netip.Addr.IsLoopback) {
		t.Error(addrs, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	if err := p.Net.Listen(t.Context(), "tcp", at); err == nil {
		t.Error("a port that is taken is free")
	}
	if err := p.Net.Listen(t.Context(), "udp", netip.AddrPortFrom(at.Addr(), 0)); err != nil {
		t.Error(err)
	}
	if n, err := p.Host.OpenFiles(); err != nil || n == 0 {
		t.Error(n, err)
	}
	if n, err := p.Host.ReceiveBuffer(1 << 16); err != nil || n == 0 {
		t.Error(n, err)
	}
	p.Host.Kernel()
}
