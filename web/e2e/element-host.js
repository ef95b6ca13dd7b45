// Runs in the browser: a small Matrix client that hosts Element Call as a widget, as Element Web does. It is bundled
// for the tests; Element Call itself comes unmodified from its package and runs in the iframe.
import { ClientEvent, createClient, MatrixError, MatrixEventEvent, RoomStateEvent, SyncState } from "matrix-js-sdk";
import { ClientWidgetApi, OpenIDRequestState, Widget, WidgetDriver } from "matrix-widget-api";

const seen = { actions: [], keys: [], capabilities: [], errors: [] };
let client, api;

/** What the homeserver says becomes what the widget is told; all else stays the host's own error. */
const matrixError = (error) => (error instanceof MatrixError ? { matrix_api_error: error.asWidgetApiErrorData() } : undefined);

/** The host's half of the widget API: Element Call asks, the homeserver answers. It serves one room. */
class Driver extends WidgetDriver {
    constructor(room) {
        super();
        this.room = room;
    }

    async validateCapabilities(requested) {
        seen.capabilities.push(...requested);
        return requested;
    }

    async sendEvent(type, content, stateKey = null) {
        const answer =
            stateKey !== null
                ? await client.sendStateEvent(this.room.roomId, type, content, stateKey)
                : type === "m.room.redaction"
                  ? await client.redactEvent(this.room.roomId, content.redacts)
                  : await client.sendEvent(this.room.roomId, type, content);
        return { roomId: this.room.roomId, eventId: answer.event_id };
    }

    async sendStickyEvent(duration, type, content) {
        const { event_id } = await client._unstable_sendStickyEvent(this.room.roomId, duration, null, type, content);
        return { roomId: this.room.roomId, eventId: event_id };
    }

    async sendDelayedEvent(delay, type, content, stateKey = null) {
        const { delay_id } =
            stateKey !== null
                ? await client._unstable_sendDelayedStateEvent(this.room.roomId, { delay }, type, content, stateKey)
                : await client._unstable_sendDelayedEvent(this.room.roomId, { delay }, null, type, content);
        return { roomId: this.room.roomId, delayId: delay_id };
    }

    async sendDelayedStickyEvent(delay, duration, type, content) {
        const { delay_id } = await client._unstable_sendStickyDelayedEvent(this.room.roomId, duration, { delay }, null, type, content);
        return { roomId: this.room.roomId, delayId: delay_id };
    }

    async cancelScheduledDelayedEvent(id) {
        await client._unstable_cancelScheduledDelayedEvent(id);
    }

    async restartScheduledDelayedEvent(id) {
        await client._unstable_restartScheduledDelayedEvent(id);
    }

    async sendScheduledDelayedEvent(id) {
        await client._unstable_sendScheduledDelayedEvent(id);
    }

    async sendToDevice(type, encrypted, messages) {
        if (!encrypted) {
            const batch = Object.entries(messages).flatMap(([userId, devices]) =>
                Object.entries(devices).map(([deviceId, payload]) => ({ userId, deviceId, payload })),
            );
            return client.queueToDevice({ eventType: type, batch });
        }
        // One encryption for all devices that get the same message.
        const groups = new Map();
        for (const [userId, devices] of Object.entries(messages)) {
            for (const [deviceId, payload] of Object.entries(devices)) {
                const same = JSON.stringify(payload);
                if (!groups.has(same)) groups.set(same, { payload, devices: [] });
                groups.get(same).devices.push({ userId, deviceId });
            }
        }
        for (const { payload, devices } of groups.values()) {
            await client.queueToDevice(await client.getCrypto().encryptToDeviceMessages(type, devices, payload));
        }
    }

    async readRoomState(roomId, type, key) {
        if (roomId !== this.room.roomId) return [];
        const state = this.room.currentState;
        const events = key === undefined ? state.getStateEvents(type) : [state.getStateEvents(type, key)].filter(Boolean);
        return events.map((event) => event.getEffectiveEvent());
    }

    async readRoomTimeline(roomId, type, msgtype, stateKey, limit, since) {
        if (roomId !== this.room.roomId) return [];
        const found = [];
        for (const event of [...this.room.getLiveTimeline().getEvents()].reverse()) {
            if (event.getId() === since || found.length === (limit || Infinity)) break;
            if (event.getType() !== type) continue;
            if (stateKey !== undefined && event.getStateKey() !== stateKey) continue;
            found.push(event.getEffectiveEvent());
        }
        return found;
    }

    async readStickyEvents(roomId) {
        return roomId === this.room.roomId ? [...this.room._unstable_getStickyEvents()].map((event) => event.getEffectiveEvent()) : [];
    }

    async readEventRelations(eventId, roomId = this.room.roomId, relation, type, from, to, limit, direction) {
        const { events, nextBatch, prevBatch } = await client.relations(roomId, eventId, relation ?? null, type ?? null, { from, to, limit, dir: direction });
        return { chunk: events.map((event) => event.getEffectiveEvent()), nextBatch, prevBatch };
    }

    askOpenID(observer) {
        client.getOpenIdToken().then(
            (token) => observer.update({ state: OpenIDRequestState.Allowed, token }),
            (error) => {
                seen.errors.push(`OpenID: ${error.message}`);
                observer.update({ state: OpenIDRequestState.Blocked });
            },
        );
    }

    async getRtcTransports() {
        return { rtc_transports: await client._unstable_getRTCTransports() };
    }

    getKnownRooms() {
        return [this.room.roomId];
    }

    processError(error) {
        seen.errors.push(String(error));
        return matrixError(error);
    }
}

/** Signs in with a token that exists, starts the crypto, and waits until the room is known. */
async function start({ baseUrl, userId, accessToken, deviceId, roomId }) {
    client = createClient({ baseUrl, userId, accessToken, deviceId, useE2eForGroupCall: true });
    await client.initRustCrypto({ useIndexedDB: false });
    client.getCrypto().globalBlacklistUnverifiedDevices = false;
    const ready = new Promise((resolve) => client.on(ClientEvent.Sync, (state) => state === SyncState.Prepared && resolve()));
    await client.startClient({ initialSyncLimit: 20, disablePresence: true });
    await ready;
    if (!client.getRoom(roomId)) throw new Error(`the room ${roomId} is not in the first sync`);
}

/** Keeps the widget up to date with what the sync brings. */
function feed(room) {
    const failed = (error) => seen.errors.push(`feed: ${error.message}`);
    const give = (event) => {
        if (event.getRoomId() === room.roomId) api.feedEvent(event.getEffectiveEvent()).catch(failed);
    };
    client.on(ClientEvent.Event, (event) => {
        if (event.getRoomId() !== room.roomId) return;
        if (!event.isEncrypted()) return give(event);
        // What cannot be read yet is given when it can: its keys may come later.
        client.decryptEventIfNeeded(event).then(() => {
            if (!event.isDecryptionFailure()) return give(event);
            const later = () => {
                if (event.isDecryptionFailure()) return;
                event.off(MatrixEventEvent.Decrypted, later);
                give(event);
            };
            event.on(MatrixEventEvent.Decrypted, later);
        }, failed);
    });
    client.on(RoomStateEvent.Events, (event) => {
        if (event.getRoomId() === room.roomId) api.feedStateUpdate(event.getEffectiveEvent()).catch(failed);
    });
    client.on(ClientEvent.ReceivedToDeviceMessage, ({ message, encryptionInfo }) => {
        if (message.type === "io.element.call.encryption_keys") {
            seen.keys.push({ sender: message.sender, encrypted: encryptionInfo !== null, index: message.content.keys?.index });
        }
        api.feedToDevice(message, encryptionInfo !== null).catch(failed);
    });
}

/** Opens Element Call for the room in an iframe; it joins by itself. `params` go into its URL. */
async function open({ roomId, params = {} }) {
    const room = client.getRoom(roomId);
    const query = new URLSearchParams({
        widgetId: "call",
        parentUrl: location.href,
        roomId,
        userId: client.getUserId(),
        deviceId: client.getDeviceId(),
        baseUrl: client.baseUrl,
        lang: "en",
        theme: "dark",
        intent: "join_existing",
        skipLobby: "true",
        perParticipantE2EE: String(room.hasEncryptionStateEvent()),
        ...params,
    });
    const url = `${location.origin}/element-call/index.html#?${query}`;
    const iframe = document.createElement("iframe");
    iframe.name = "element-call";
    iframe.allow = "camera; microphone; display-capture; autoplay; clipboard-write; encrypted-media; speaker-selection";
    document.body.append(iframe);
    const widget = new Widget({ id: "call", creatorUserId: client.getUserId(), type: "m.call", url, waitForIframeLoad: false, data: {} });
    api = new ClientWidgetApi(widget, iframe, new Driver(room));
    api.setViewedRoomId(roomId);
    // Actions of Element Web that are not in the widget API: taken note of, and said yes to.
    for (const action of ["io.element.join", "im.vector.hangup", "io.element.close", "io.element.device_mute", "set_always_on_screen", "minimize", "io.element.tile_layout", "io.element.spotlight_layout"]) {
        api.on(`action:${action}`, (event) => {
            event.preventDefault();
            seen.actions.push(action);
            api.transport.reply(event.detail, {});
        });
    }
    feed(room);
    const ready = new Promise((resolve, reject) => {
        api.once("ready", resolve);
        api.once("error:preparing", reject);
    });
    iframe.src = url;
    await ready;
}

/** Tells Element Call to leave, as the host's hang-up button does. */
const hangup = () => api.transport.send("im.vector.hangup", {});

/** Leaves if there is a call to leave. */
const leave = () => (api && !seen.actions.includes("io.element.close") ? hangup() : undefined);

window.host = { start, open, hangup, leave, seen };
