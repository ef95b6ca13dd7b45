package session

import "maps"

// attributesSize is what the limit counts.
func attributesSize(a map[string]string) int {
	n := 0
	for k, v := range a {
		n += len(k) + len(v)
	}
	return n
}

// merged are the attributes after a change: an empty value removes the key.
func merged(old, change map[string]string) map[string]string {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]string{}
	}
	for k, v := range change {
		if v == "" {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

// updateOwn changes name, metadata and attributes on a participant's own wish. It always answers.
func (s *Session) updateOwn(p *participant, r UpdateOwn) {
	answer := Response{RequestID: r.RequestID, Request: r}
	attributes := p.attributes
	if len(r.Attributes) > 0 {
		attributes = merged(p.attributes, r.Attributes)
	}
	switch {
	case !p.grant.UpdateOwn:
		answer.Outcome, answer.Text = NotAllowed, "no permission to update own metadata"
	case len(r.Name) > maxName:
		answer.Outcome, answer.Text = LimitExceeded, "name over 256 bytes"
	case len(r.Metadata) > maxMetadata:
		answer.Outcome, answer.Text = LimitExceeded, "metadata over 512 KiB"
	case attributesSize(attributes) > maxAttributes:
		answer.Outcome, answer.Text = LimitExceeded, "attributes over 64 KiB"
	}
	s.respond(p, answer)
	if answer.Outcome != OK {
		return
	}
	if r.Name != "" {
		p.name = r.Name
	}
	if r.Metadata != "" {
		p.metadata = r.Metadata
	}
	p.attributes = attributes
	s.regrant(p)
	s.changed(p, true)
}

// regrant tells the connection what its next token says.
func (s *Session) regrant(p *participant) {
	p.regranted = true
	s.tell(p, GrantChanged{Grant: p.grant, Name: p.name, Metadata: p.metadata, Attributes: p.attributes})
}
