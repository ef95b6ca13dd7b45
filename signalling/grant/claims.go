package grant

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"weir/sfu"
	"weir/sfu/session"
)

// claims is the payload of a token as LiveKit spells it (livekit.md section 9).
type claims struct {
	Issuer      string            `json:"iss,omitempty"`
	Subject     string            `json:"sub,omitempty"`
	NotBefore   *date             `json:"nbf,omitempty"`
	Expires     *date             `json:"exp,omitempty"`
	Name        string            `json:"name,omitempty"`
	Kind        string            `json:"kind,omitempty"`
	KindDetails []string          `json:"kindDetails,omitempty"`
	Video       *video            `json:"video,omitempty"`
	Config      *configuration    `json:"roomConfig,omitempty"`
	Preset      string            `json:"roomPreset,omitempty"`
	SHA256      string            `json:"sha256,omitempty"`
	Metadata    string            `json:"metadata,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Seat        *seat             `json:"weir,omitempty"`
}

// seat is the claim weir. Its short names keep a token that travels in a URL short.
type seat struct {
	Room    string `json:"r"`
	Slot    string `json:"s"`
	User    string `json:"u"`
	Device  string `json:"d,omitempty"`
	Member  string `json:"m,omitempty"`
	Version int    `json:"v"`
	Door    string `json:"o"`
	Opens   bool   `json:"n,omitempty"`
	Max     int    `json:"p,omitempty"`
	Made    int64  `json:"t"`
}

// video is the claim of that name. The pointers tell absent from false.
type video struct {
	Create  bool   `json:"roomCreate,omitempty"`
	List    bool   `json:"roomList,omitempty"`
	Record  bool   `json:"roomRecord,omitempty"`
	Admin   bool   `json:"roomAdmin,omitempty"`
	Join    bool   `json:"roomJoin,omitempty"`
	Room    string `json:"room,omitempty"`
	Ingress bool   `json:"ingressAdmin,omitempty"`

	Publish     *bool    `json:"canPublish,omitempty"`
	Subscribe   *bool    `json:"canSubscribe,omitempty"`
	PublishData *bool    `json:"canPublishData,omitempty"`
	Sources     []string `json:"canPublishSources,omitempty"`
	UpdateOwn   *bool    `json:"canUpdateOwnMetadata,omitempty"`
	Metrics     *bool    `json:"canSubscribeMetrics,omitempty"`

	Hidden      bool   `json:"hidden,omitempty"`
	Recorder    bool   `json:"recorder,omitempty"`
	Agent       bool   `json:"agent,omitempty"`
	Destination string `json:"destinationRoom,omitempty"`
}

// kinds names the participant kinds; the numbers are LiveKit's.
var kinds = map[session.ParticipantKind]string{
	session.Standard: "standard", session.Ingress: "ingress", session.Egress: "egress", session.SIP: "sip",
	session.Agent: "agent", 7: "connector", 8: "bridge",
}

func (c *claims) grant() Grant {
	g := Grant{
		Identity: sfu.Identity(c.Subject), Name: c.Name, Metadata: c.Metadata, Attributes: c.Attributes,
		KindDetails: c.KindDetails, Preset: c.Preset, SHA256: c.SHA256,
	}
	for k, name := range kinds {
		if strings.EqualFold(c.Kind, name) {
			g.Kind = k
		}
	}
	if len(g.Attributes) == 0 {
		g.Attributes = nil
	}
	if len(g.KindDetails) == 0 {
		g.KindDetails = nil
	}
	if c.Config != nil {
		g.Config = c.Config.config()
	}
	if s := c.Seat; s != nil {
		g.Seat = &Seat{Room: s.Room, Slot: s.Slot, User: s.User, Device: s.Device, Member: s.Member, Version: s.Version,
			Door: s.Door, Opens: s.Opens, MaxParticipants: s.Max, Made: s.Made}
	}
	if v := c.Video; v != nil {
		g.Session, g.Destination = sfu.SessionID(v.Room), sfu.SessionID(v.Destination)
		g.Create, g.List, g.Record = v.Create, v.List, v.Record
		g.Admin, g.Join, g.Ingress = v.Admin, v.Join, v.Ingress
		g.Inside = v.inside()
	}
	return g
}

func (v *video) inside() session.Grant {
	in := session.Grant{
		Publish: v.Publish == nil || *v.Publish, Subscribe: v.Subscribe == nil || *v.Subscribe,
		UpdateOwn: v.UpdateOwn != nil && *v.UpdateOwn, Metrics: v.Metrics != nil && *v.Metrics,
		Hidden: v.Hidden, Recorder: v.Recorder, Agent: v.Agent,
	}
	in.PublishData = in.Publish
	if v.PublishData != nil {
		in.PublishData = *v.PublishData
	}
	for _, name := range v.Sources {
		for s := sfu.Camera; s <= sfu.ScreenAudio; s++ {
			if strings.EqualFold(name, s.String()) && !slices.Contains(in.Sources, s) {
				in.Sources = append(in.Sources, s)
			}
		}
	}
	// A list of which we know nothing permits nothing: an empty list would permit all.
	if len(v.Sources) > 0 && len(in.Sources) == 0 {
		in.Publish = false
	}
	return in
}

func claimsOf(g Grant) *claims {
	c := &claims{
		Subject: string(g.Identity), Name: g.Name, Metadata: g.Metadata, Attributes: g.Attributes,
		KindDetails: g.KindDetails, Preset: g.Preset, SHA256: g.SHA256,
	}
	if g.Kind != session.Standard {
		c.Kind = kinds[g.Kind]
	}
	if g.Config != nil {
		c.Config = configurationOf(*g.Config)
	}
	if s := g.Seat; s != nil {
		c.Seat = &seat{Room: s.Room, Slot: s.Slot, User: s.User, Device: s.Device, Member: s.Member, Version: s.Version,
			Door: s.Door, Opens: s.Opens, Max: s.MaxParticipants, Made: s.Made}
	}
	v := video{
		Create: g.Create, List: g.List, Record: g.Record, Admin: g.Admin, Join: g.Join, Room: string(g.Session),
		Ingress: g.Ingress, Hidden: g.Inside.Hidden, Recorder: g.Inside.Recorder, Agent: g.Inside.Agent,
		Destination: string(g.Destination),
	}
	v.rights(g)
	if !g.bare() {
		c.Video = &v
	}
	return c
}

// rights writes what a participant may do. Rights that are absent when false stay so; tokens for the server API that
// name none get none.
func (v *video) rights(g Grant) {
	in := g.Inside
	v.Publish, v.Subscribe = &in.Publish, &in.Subscribe
	if in.PublishData != in.Publish {
		v.PublishData = &in.PublishData
	}
	if in.UpdateOwn {
		v.UpdateOwn = &in.UpdateOwn
	}
	if in.Metrics {
		v.Metrics = &in.Metrics
	}
	for _, s := range in.Sources {
		v.Sources = append(v.Sources, s.String())
	}
}

// bare reports a grant without any right, as a webhook's: it has no video claim at all.
func (g *Grant) bare() bool {
	in := g.Inside
	return !g.Join && !g.Admin && !g.Create && !g.List && !g.Record && !g.Ingress && g.Session == "" && g.Destination == "" &&
		!in.Publish && !in.Subscribe && !in.PublishData && !in.UpdateOwn && !in.Metrics && !in.Hidden && !in.Recorder &&
		!in.Agent && len(in.Sources) == 0
}

func (c *claims) utf8() bool {
	ok := func(s string) bool { return utf8.ValidString(s) }
	for k, v := range maps.All(c.Attributes) {
		if !ok(k) || !ok(v) {
			return false
		}
	}
	if v := c.Video; v != nil && (!ok(v.Room) || !ok(v.Destination)) {
		return false
	}
	if c.Config != nil && !ok(c.Config.Metadata) {
		return false
	}
	if s := c.Seat; s != nil && !(ok(s.Room) && ok(s.Slot) && ok(s.User) && ok(s.Device) && ok(s.Member) && ok(s.Door)) {
		return false
	}
	return ok(c.Issuer) && ok(c.Subject) && ok(c.Name) && ok(c.Metadata) && ok(c.Preset) && ok(c.SHA256) &&
		!slices.ContainsFunc(c.KindDetails, func(s string) bool { return !ok(s) })
}

// configuration is the part of LiveKit's RoomConfiguration that concerns us. It is protojson: either case is read.
type configuration struct {
	Empty      number `json:"emptyTimeout,omitempty"`
	Departure  number `json:"departureTimeout,omitempty"`
	Max        number `json:"maxParticipants,omitempty"`
	EmptySnake number `json:"empty_timeout,omitempty"`
	DepSnake   number `json:"departure_timeout,omitempty"`
	MaxSnake   number `json:"max_participants,omitempty"`
	Metadata   string `json:"metadata,omitempty"`
}

func (c *configuration) config() *session.Config {
	return &session.Config{
		Metadata: c.Metadata, EmptyTimeout: int(cmp.Or(c.Empty, c.EmptySnake)),
		DepartureTimeout: int(cmp.Or(c.Departure, c.DepSnake)), MaxParticipants: int(cmp.Or(c.Max, c.MaxSnake)),
	}
}

func configurationOf(c session.Config) *configuration {
	return &configuration{
		Metadata: c.Metadata, Empty: clamp(c.EmptyTimeout), Departure: clamp(c.DepartureTimeout), Max: clamp(c.MaxParticipants),
	}
}

func clamp(n int) number { return number(min(max(n, 0), 1<<32-1)) }

// number is an unsigned 32-bit number, which protojson lets be a string.
type number uint32

func (s *number) UnmarshalJSON(doc []byte) error {
	text := string(doc)
	if text == "null" {
		return nil
	}
	if len(doc) > 0 && doc[0] == '"' {
		if json.Unmarshal(doc, &text) != nil {
			return ErrMalformed
		}
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return ErrMalformed
	}
	*s = number(n)
	return nil
}
