// Runs in the bare page: small verbs over livekit-client that tests call.
/* global LivekitClient */
const { Room, RoomEvent, Track, VideoPresets, DisconnectReason } = LivekitClient;
const events = [];
let room;

function note(name, ...what) {
    events.push({ name, what, at: performance.now() });
}

async function join(url, token, { single = true, publish = false, codec = "vp8", adaptive = true, dynacast = false } = {}) {
    room = new Room({
        singlePeerConnection: single,
        adaptiveStream: adaptive,
        dynacast,
        publishDefaults: {
            videoCodec: codec,
            backupCodec: false,
            simulcast: true,
            videoSimulcastLayers: [VideoPresets.h180, VideoPresets.h360],
        },
        videoCaptureDefaults: { resolution: VideoPresets.h720.resolution },
    });
    for (const name of ["Connected", "SignalReconnecting", "Reconnecting", "Reconnected", "ParticipantConnected", "LocalTrackPublished", "TrackMuted", "TrackUnmuted"]) {
        room.on(RoomEvent[name], () => note(name));
    }
    room.on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
        note("TrackSubscribed", participant.identity, publication.source);
        const element = track.attach();
        element.id = `${participant.identity}-${publication.source}`;
        element.style.width = "640px";
        element.style.height = "360px";
        document.body.append(element);
    });
    room.on(RoomEvent.TrackUnsubscribed, (track, publication, participant) => {
        note("TrackUnsubscribed", participant.identity, publication.source);
        track.detach();
        // A track that ended with its media section has let go of its element already: left behind, it would push others out of view.
        document.getElementById(`${participant.identity}-${publication.source}`)?.remove();
    });
    room.on(RoomEvent.DataReceived, (payload, participant, kind, topic) =>
        note("DataReceived", participant?.identity, payload.length, payload.reduce((a, b) => (a * 31 + b) >>> 0, 0), topic),
    );
    room.on(RoomEvent.Disconnected, (reason) => note("Disconnected", DisconnectReason[reason] ?? reason));
    await room.connect(url, token);
    if (publish) {
        await room.localParticipant.setMicrophoneEnabled(true);
        await room.localParticipant.setCameraEnabled(true);
    }
}

function publicationOf(identity, source) {
    const who = identity === room.localParticipant.identity ? room.localParticipant : room.getParticipantByIdentity(identity);
    return who?.getTrackPublication(source);
}

/** What is received of a track: frames, size, packets, audio energy. */
async function received(identity, source) {
    const track = publicationOf(identity, source)?.track;
    const report = await track?.getRTCStatsReport();
    let found = {};
    report?.forEach((s) => {
        if (s.type !== "inbound-rtp") return;
        found = {
            id: s.trackIdentifier,
            ssrc: s.ssrc,
            frames: s.framesDecoded ?? 0,
            keyframes: s.keyFramesDecoded ?? 0,
            width: s.frameWidth ?? 0,
            height: s.frameHeight ?? 0,
            freezes: s.freezeCount ?? 0,
            energy: s.totalAudioEnergy ?? 0,
            packets: s.packetsReceived,
            lost: s.packetsLost,
        };
    });
    return found;
}

/** Which layers of the own camera are sent: rid → frames. */
async function sentLayers() {
    const report = await publicationOf(room.localParticipant.identity, Track.Source.Camera)?.track?.getRTCStatsReport();
    const layers = {};
    report?.forEach((s) => {
        if (s.type === "outbound-rtp") layers[s.rid ?? ""] = { frames: s.framesSent ?? 0, width: s.frameWidth ?? 0 };
    });
    return layers;
}

function resize(identity, source, width, height) {
    const element = document.getElementById(`${identity}-${source}`);
    element.style.width = `${width}px`;
    element.style.height = `${height}px`;
}

function bytes(n) {
    return Uint8Array.from({ length: n }, (_, i) => (i * 7 + n) & 255);
}

function checksum(n) {
    return bytes(n).reduce((a, b) => (a * 31 + b) >>> 0, 0);
}

Object.assign(window, {
    lk: { join, received, sentLayers, resize, bytes, checksum, publicationOf, events, room: () => room },
});
