// Runs in the bare page beside page.js: a client whose frames are encrypted, with shared or per-participant keys.
/* global LivekitClient */
{
    const { Room, RoomEvent, BaseKeyProvider, ExternalE2EEKeyProvider, Track } = LivekitClient;
    const errors = [];
    const statuses = [];
    let room, keys;

    /** Keys by participant, as Element Call hands them to livekit-client. */
    class ParticipantKeys extends BaseKeyProvider {
        constructor() {
            super({ sharedKey: false, ratchetWindowSize: 10, failureTolerance: 10, keyringSize: 256 });
        }

        async set(identity, index, bytes) {
            const material = await crypto.subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits", "deriveKey"]);
            this.onSetEncryptionKey(material, identity, index);
        }
    }

    const decode = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

    async function join(url, token, { codec = "vp8", password, keys: list = [], scalability, publish = true, single = true } = {}) {
        keys = password === undefined ? new ParticipantKeys() : new ExternalE2EEKeyProvider({ keyringSize: 16 });
        room = new Room({
            singlePeerConnection: single,
            adaptiveStream: false,
            dynacast: false,
            encryption: { keyProvider: keys, worker: new Worker("/worker.js") },
            publishDefaults: { videoCodec: codec, backupCodec: false, simulcast: false, scalabilityMode: scalability, dtx: false, red: false },
            videoCaptureDefaults: { resolution: { width: 640, height: 360, frameRate: 20 } },
        });
        room.on(RoomEvent.EncryptionError, (error, participant) => errors.push(`${participant?.identity}: ${error.message}`));
        room.on(RoomEvent.ParticipantEncryptionStatusChanged, (on, participant) => statuses.push([participant?.identity, on]));
        room.on(RoomEvent.TrackSubscribed, (track) => {
            const element = track.attach();
            element.muted = track.kind === "video";
            document.body.append(element);
        });
        if (password === undefined) for (const { identity, index, key } of list) await keys.set(identity, index, decode(key));
        else await keys.setKey(password);
        await room.setE2EEEnabled(true);
        await room.connect(url, token);
        if (publish) {
            await room.localParticipant.setMicrophoneEnabled(true);
            await room.localParticipant.setCameraEnabled(true);
        }
    }

    /** What is received of a participant: frames decoded, audio energy, and whether the publication says it is encrypted. */
    async function received(identity) {
        const found = { frames: 0, keyframes: 0, energy: 0, encrypted: [] };
        for (const publication of room.getParticipantByIdentity(identity)?.trackPublications.values() ?? []) {
            found.encrypted.push(publication.isEncrypted);
            (await publication.track?.getRTCStatsReport())?.forEach((s) => {
                if (s.type !== "inbound-rtp") return;
                found.frames += s.framesDecoded ?? 0;
                found.keyframes += s.keyFramesDecoded ?? 0;
                found.energy += s.totalAudioEnergy ?? 0;
            });
        }
        return found;
    }

    /** The codec that is sent of the own camera: "VP8". */
    async function sending() {
        const report = await room.localParticipant.getTrackPublication(Track.Source.Camera)?.track?.getRTCStatsReport();
        const codecs = {};
        let used;
        report?.forEach((s) => {
            if (s.type === "codec") codecs[s.id] = s.mimeType.split("/")[1];
            if (s.type === "outbound-rtp" && s.framesSent > 0) used = s.codecId;
        });
        return codecs[used];
    }

    /** Whether the browser encodes a codec. */
    const encodes = (name) => RTCRtpSender.getCapabilities("video").codecs.some((c) => c.mimeType.toLowerCase() === `video/${name}`);

    Object.assign(window, {
        sealed: {
            join,
            received,
            sending,
            encodes,
            errors: () => errors.splice(0), // each is told once
            statuses: () => statuses,
            set: (identity, index, key) => keys.set(identity, index, decode(key)),
            ratchet: (identity, index) => keys.ratchetKey(identity, index),
            leave: () => room.disconnect(),
        },
    });
}
