package session

import (
	"slices"

	"weir/sfu"
)

// allowList is who may receive what of a publisher (subscription_permission).
type allowList struct {
	all        bool
	byIdentity map[sfu.Identity]*allowance
	byID       map[sfu.ParticipantID]*allowance
}

// allowance is one row of it.
type allowance struct {
	all          bool
	publications map[sfu.PublicationID]struct{}
}

func (a *allowance) has(id sfu.PublicationID) bool {
	if a == nil {
		return false
	}
	_, ok := a.publications[id]
	return ok || a.all
}

// allows says whether q may receive p's publication or data track id.
func (p *participant) allows(q *participant, id sfu.PublicationID) bool {
	a := p.allow
	return !p.withheld && (a == nil || a.all || a.byIdentity[q.identity].has(id) || a.byID[q.id].has(id))
}

// permit replaces p's allow list and lets every subscription follow.
func (s *Session) permit(p *participant, r Permission) {
	a := &allowList{
		all:        r.AllParticipants,
		byIdentity: map[sfu.Identity]*allowance{}, byID: map[sfu.ParticipantID]*allowance{},
	}
	for _, t := range r.Tracks {
		row := &allowance{all: t.All, publications: map[sfu.PublicationID]struct{}{}}
		for _, id := range t.Publications {
			row.publications[id] = struct{}{}
		}
		switch {
		case t.Identity != "":
			a.byIdentity[t.Identity] = row
		case t.Participant != "":
			a.byID[t.Participant] = row
		}
	}
	p.allow = a
	s.reviewPublications(p)
	s.reviewData(p)
}

// reviewPublications settles every subscription to what p publishes, after p's rights or wishes changed.
func (s *Session) reviewPublications(p *participant) {
	for _, q := range s.order {
		for _, pub := range slices.Clone(p.pubs) {
			if sub := q.subs[pub.id]; sub != nil && pub.published {
				s.settle(sub)
			}
		}
	}
}
