package session

import (
	"slices"
	"time"

	"weir/sfu"
)

const (
	intentPatience = time.Minute      // for a publication that does not exist
	retryPeriod    = 3 * time.Second  // after a refusal
	subscribeLimit = 15 * time.Second // until a subscription must have come about
)

// subscription is what one participant wants of one publication, and what became of it. It exists as long as there
// is a wish or a setting to remember.
type subscription struct {
	id  sfu.PublicationID
	by  *participant
	pub *publication // nil: the publication does not exist yet

	on       bool // the subscriber wants it
	declined bool // it said that it does not
	denied   bool // the subscriber was told that it may not
	open     bool // placed on the transport; in pub.subs at index
	bound    bool // has a place in a description
	index    int
	starve   bool // allocation paused it
	backup   bool // waits for a codec the subscriber can take
	rejected bool // can never be placed

	codec   int // place of the codec it receives
	setting setting
	next    *TrackSetting // settles until the alarm
	wanted  sfu.Layer
	target  sfu.Layer // last told to the media plane
	paused  bool
	demand  contribution

	started  time.Time
	deadline alarm // becauseGivenUp
	retry    alarm // becauseRetry
	settling alarm // becauseSetting
}

// subscription returns p's entry for id, making it if there is room.
func (s *Session) subscription(p *participant, id sfu.PublicationID) *subscription {
	if sub := p.subs[id]; sub != nil {
		return sub
	}
	pub := s.publications[id]
	if pub != nil && (pub.owner == p || pub.owner.hidden()) {
		return nil
	}
	if pub == nil {
		if p.intents >= maxIntents || len(id) > maxID {
			return nil
		}
		p.intents++
	}
	sub := &subscription{id: id, by: p, pub: pub, target: sfu.NoLayer, wanted: sfu.NoLayer, demand: noContribution}
	sub.deadline = alarm{why: becauseGivenUp, subscription: sub}
	sub.retry = alarm{why: becauseRetry, subscription: sub}
	sub.settling = alarm{why: becauseSetting, subscription: sub}
	p.subs[id] = sub
	if pub == nil {
		s.alarms.set(&sub.deadline, s.now.Add(intentPatience))
	}
	return sub
}

// subscribe serves a participant's explicit wish.
func (s *Session) subscribe(p *participant, r Subscribe) {
	for _, id := range r.Publications {
		s.want(p, id, r.On)
	}
	owners := make([]sfu.ParticipantID, 0, len(r.ByParticipant))
	for owner := range r.ByParticipant {
		owners = append(owners, owner)
	}
	slices.Sort(owners)
	for _, owner := range owners {
		for _, id := range r.ByParticipant[owner] {
			if pub := s.publications[id]; pub == nil || pub.owner.id == owner {
				s.want(p, id, r.On)
			}
		}
	}
}

func (s *Session) want(p *participant, id sfu.PublicationID, on bool) {
	sub := p.subs[id]
	if sub == nil && !on && s.publications[id] == nil {
		return // nothing to remember
	}
	if sub == nil {
		sub = s.subscription(p, id)
	}
	if sub == nil {
		if on {
			s.tell(p, SubscriptionFailed{Publication: id})
		}
		return
	}
	if on && (!sub.on || sub.rejected) {
		sub.rejected, sub.backup = false, false
		sub.started = s.now
		if sub.pub == nil {
			s.alarms.set(&sub.deadline, s.now.Add(intentPatience))
		}
	}
	sub.on, sub.declined = on, !on
	s.settle(sub)
}

// subscribeToAll gives p what is already published, if it subscribes by itself.
func (s *Session) subscribeToAll(p *participant) {
	if !p.grant.Subscribe {
		return
	}
	for _, q := range s.order {
		for _, pub := range q.pubs {
			if pub.published {
				s.offered(p, pub)
			}
		}
	}
}

// offered makes what p wants of pub come true: by an earlier wish, or because it subscribes by itself. Publications
// that come later than p are for those only that are Active.
func (s *Session) offered(p *participant, pub *publication) {
	if p == pub.owner || pub.owner.hidden() {
		return
	}
	sub := p.subs[pub.id]
	if sub != nil && sub.pub == nil {
		sub.pub = pub
		p.intents--
		s.alarms.clear(&sub.deadline)
		sub.started = s.now
	}
	early := pub.since.After(p.joined) && p.state != Active
	if sub == nil && (!p.settings.AutoSubscribe || !p.grant.Subscribe || early) {
		return
	}
	if sub == nil {
		sub = s.subscription(p, pub.id)
		sub.on, sub.started = true, s.now
	} else if sub.automatic() && p.settings.AutoSubscribe && !early {
		sub.on, sub.started = true, s.now
	}
	s.settle(sub)
}

// automatic says that the entry holds a setting only, which is no reason not to subscribe by itself.
func (sub *subscription) automatic() bool { return !sub.on && !sub.declined }

// settle compares what is wanted and permitted with what is, and acts on the difference.
func (s *Session) settle(sub *subscription) {
	p, pub := sub.by, sub.pub
	if pub == nil {
		return
	}
	allowed := pub.owner.allows(p, pub.id)
	if sub.on && sub.denied == allowed && p.sink != nil && !pub.owner.hidden() {
		sub.denied = !allowed
		s.tell(p, PermissionUpdate{Participant: pub.owner.id, Publication: pub.id, Allowed: allowed})
	}
	want := sub.on && allowed && p.grant.Subscribe && !pub.owner.hidden() && !sub.rejected && !sub.backup
	switch {
	case want && !sub.open:
		s.open(sub)
	case !want && sub.open:
		s.shut(sub)
	}
	if !want {
		s.alarms.clear(&sub.retry)
		if !sub.backup {
			s.alarms.clear(&sub.deadline)
		}
		s.contribute(sub)
	}
}

// open places a subscription.
func (s *Session) open(sub *subscription) {
	p, pub := sub.by, sub.pub
	s.alarms.clear(&sub.retry)
	sub.open, sub.bound, sub.starve, sub.codec = true, false, false, 0
	sub.index = len(pub.subs)
	pub.subs = append(pub.subs, sub)
	sub.wanted, sub.paused = sub.wish()
	sub.target = sub.wanted
	s.do(OpenSubscription{
		Subscriber: p.id, Publisher: pub.owner.id, Track: pub.view,
		Target: sub.target, Paused: sub.paused, SyncStream: false,
	})
	s.alarms.set(&sub.deadline, s.now.Add(subscribeLimit))
	s.contribute(sub)
	s.follow(p, pub.owner)
}

// shut takes it off the transport; the wish may stay.
func (s *Session) shut(sub *subscription) {
	p, pub := sub.by, sub.pub
	last := len(pub.subs) - 1
	pub.subs[sub.index] = pub.subs[last]
	pub.subs[sub.index].index = sub.index
	pub.subs = pub.subs[:last]
	sub.open, sub.bound = false, false
	s.alarms.clear(&sub.deadline)
	s.alarms.clear(&sub.settling)
	if sub.next != nil {
		sub.setting, sub.next = settingOf(*sub.next), nil
	}
	s.contribute(sub)
	if p.state != Disconnected && !s.closing {
		s.do(CloseSubscription{Subscriber: p.id, Publication: pub.id, Revoked: sub.on && pub.published})
	}
	s.unfollow(p, pub.owner)
}

// forget drops the entry itself.
func (s *Session) forget(sub *subscription) {
	if sub.open {
		s.shut(sub)
	}
	s.alarms.clear(&sub.deadline)
	s.alarms.clear(&sub.retry)
	s.alarms.clear(&sub.settling)
	if sub.pub == nil {
		sub.by.intents--
	} else {
		sub.on = false
		s.contribute(sub)
	}
	delete(sub.by.subs, sub.id)
}

// forgetSubscriptions drops all of a participant that is gone; its transports take the media along.
func (s *Session) forgetSubscriptions(p *participant) {
	for _, q := range s.order {
		for _, pub := range q.pubs {
			if sub := p.subs[pub.id]; sub != nil {
				s.forget(sub)
			}
		}
	}
	for _, sub := range p.subs { // intents only: no effects, so no order
		s.forget(sub)
	}
}

// giveUp fails a subscription that did not come about in time.
func (s *Session) giveUp(sub *subscription) {
	p := sub.by
	switch {
	case sub.pub == nil:
		if sub.on {
			s.tell(p, SubscriptionFailed{Publication: sub.id})
		}
		s.forget(sub)
	case sub.bound || !sub.on:
	case p.sink == nil || p.state != Active || p.failed:
		// Nothing can be negotiated while the connection is down.
		s.alarms.set(&sub.deadline, s.now.Add(subscribeLimit))
	default:
		sub.rejected = true
		s.settle(sub)
		s.tell(p, SubscriptionFailed{Publication: sub.id, Unsupported: sub.backup})
	}
}

// openSubscription finds an open one.
func (s *Session) openSubscription(by sfu.ParticipantID, id sfu.PublicationID) *subscription {
	p := s.byID[by]
	if p == nil {
		return nil
	}
	if sub := p.subs[id]; sub != nil && sub.open {
		return sub
	}
	return nil
}

// subscriptionBound notes that the subscriber has a section for it.
func (s *Session) subscriptionBound(ev SubscriptionBound) {
	sub := s.openSubscription(ev.Subscriber, ev.Publication)
	if sub == nil {
		return
	}
	pub := sub.pub
	s.alarms.clear(&sub.deadline)
	sub.bound = true
	sub.codec = pub.place(ev.Codec)
	s.retarget(sub)
	if !pub.subscribed && !sub.by.hidden() {
		pub.subscribed = true
		if pub.owner.knowsResponses() { // the same old Rust SDKs do not know this message
			s.tell(pub.owner, Subscribed{pub.id})
		}
	}
}

// subscriptionRefused tries again later, unless the subscriber cannot take the codec.
func (s *Session) subscriptionRefused(ev SubscriptionRefused) {
	sub := s.openSubscription(ev.Subscriber, ev.Publication)
	if sub == nil {
		return
	}
	switch {
	case ev.Unsupported && sub.pub.backupPossible():
		sub.backup = true
		s.settle(sub)
		s.contribute(sub)
		s.alarms.set(&sub.deadline, s.now.Add(subscribeLimit))
	case ev.Unsupported:
		sub.rejected = true
		s.settle(sub)
		s.tell(sub.by, SubscriptionFailed{Publication: sub.id, Unsupported: true})
	case !s.now.Before(sub.started.Add(subscribeLimit)):
		sub.rejected = true
		s.settle(sub)
		s.tell(sub.by, SubscriptionFailed{Publication: sub.id})
	default:
		s.shut(sub)
		s.alarms.set(&sub.retry, s.now.Add(retryPeriod))
	}
}

// subscriptionPaused tells the subscriber that the focus cannot send for want of bandwidth, or can again.
func (s *Session) subscriptionPaused(ev SubscriptionPaused) {
	sub := s.openSubscription(ev.Subscriber, ev.Publication)
	if sub == nil || sub.starve == ev.Paused {
		return
	}
	sub.starve = ev.Paused
	s.tell(sub.by, StreamStates{[]StreamState{{Participant: sub.pub.owner.id, Publication: sub.id, Paused: ev.Paused}}})
}
