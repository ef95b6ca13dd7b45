package media

import "weir/sfu/session"

// State of a transport.
type State uint8

const (
	New State = iota
	Connecting
	Connected    // ICE has a pair and DTLS has given keys
	Disconnected // nothing was heard for 10 s; media is still sent
	Failed       // 5 s later; only an ICE restart brings it back
	Closed
)

// TransportEvent is what a transport tells its owner. Events of one transport come one at a time and in order.
type TransportEvent interface{ transportEvent() }

type (
	// StateChanged is told on each change but Closed.
	StateChanged struct{ State State }
	// ChannelOpened says that SendData works for the channel.
	ChannelOpened struct{ Channel session.DataChannel }
	// ChannelClosed says that the far side closed the channel.
	ChannelClosed struct{ Channel session.DataChannel }
	// DataReceived is one message; Payload belongs to whoever gets the event. Label is set only for channels that are none
	// of the three: Channel is then Reliable or Lossy as the channel was opened.
	DataReceived struct {
		Channel session.DataChannel
		Label   string
		Text    bool
		Payload []byte
	}
	// DataOverflow says that a reliable message was not taken because the far side reads too slowly. Told once per jam.
	DataOverflow struct{ Channel session.DataChannel }
)

func (StateChanged) transportEvent()  {}
func (ChannelOpened) transportEvent() {}
func (ChannelClosed) transportEvent() {}
func (DataReceived) transportEvent()  {}
func (DataOverflow) transportEvent()  {}

// ChannelMode says who opens the three data channels.
type ChannelMode uint8

const (
	AcceptChannels     ChannelMode = iota // the far side, by DCEP; ids 100 to 102 are recognised without
	OpenChannels                          // we do, by DCEP (RFC 8832)
	NegotiatedChannels                    // nobody: ids 100, 101, 102 are open from the start
)

// TransportConfig is how one transport behaves. The zero value is a full, controlled ICE agent that serves DTLS.
type TransportConfig struct {
	Lite         bool // ICE-lite (RFC 8445 section 2.5)
	Controlling  bool
	DTLSClient   bool // our DTLS role, unless the remote description says otherwise
	Channels     ChannelMode
	ZeroChecksum bool                 // offer SCTP zero checksum (RFC 9653)
	Events       func(TransportEvent) // never blocks; nil drops them
	// Pace may wait, until done at the longest, before a message of n bytes is told: the far side's window tells it so.
	// It runs on the goroutine that reads the channel; nil: nobody waits.
	Pace func(channel session.DataChannel, n int, done <-chan struct{})
}

// LocalDescription is what the SDP says of our side.
type LocalDescription struct {
	Ufrag, Pwd  string
	Fingerprint string   // "sha-256 AA:BB:…"
	Candidates  []string // values of a=candidate, without the attribute's name
	Lite        bool
}

// Setup is the DTLS role that the far side takes (RFC 5763 section 5).
type Setup uint8

const (
	SetupUnsaid  Setup = iota
	SetupActive        // far side is DTLS client
	SetupPassive       // far side is DTLS server
)

// RemoteDescription is what the SDP says of the far side.
type RemoteDescription struct {
	Ufrag, Pwd     string
	Fingerprint    string
	Setup          Setup
	Lite           bool
	Candidates     []string
	Data           bool   // there is a data section: SCTP is started
	MaxMessageSize uint32 // of the far side; 0: 65,536 (RFC 8841 section 6.1)
}
