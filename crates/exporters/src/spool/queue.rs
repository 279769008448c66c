use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::account::{self, Place, Standing};
use super::folder::{self, About, Contents};
use super::record::{
    self, LONGEST_BODY, ReportHead, SEGMENT_HEAD, Scanner, Seal, SegmentHead, write_report,
    write_segment_head,
};
use super::{Account, Limits, SpoolError, Sync, WhenFull};
use crate::Piece;

/// The queue of one run for one sink, open in this process and in no other.
#[derive(Debug)]
pub struct Queue {
    folder: PathBuf,
    about: About,
    seal: Seal,
    limits: Limits,
    /// Held as long as the queue is open.
    lock: File,
    account: File,
    /// How often the account was written.
    written: u64,
    standing: Standing,
    /// The oldest first. What is before the cursor is removed a whole segment at a time.
    segments: VecDeque<Segment>,
    /// The last segment, while this process appends to it.
    tail: Option<File>,
    /// Earlier tails that are not synced yet.
    unsynced: Vec<File>,
    /// The folder has names that are not synced yet.
    has_new_names: bool,
    /// What a write that failed has left behind, and must not stay.
    torn: Option<Torn>,
    /// Up to where the pieces go that were read last.
    reading: Option<Place>,
    synced: Instant,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u64,
    bytes: u64,
    /// Points of the log before its first record.
    points_before: u64,
}

#[derive(Debug, Clone, Copy)]
struct Torn {
    segment: u64,
    /// So much of it stays; nothing of a new one.
    keep: u64,
}

/// What became of a report that was appended.
#[derive(Debug, Default)]
pub struct Appended {
    /// It is in the log or counted as lost. Else the disk did not take it, and it is as if it was never offered.
    pub is_settled: bool,
    /// Points that are lost now: of this report, or of older ones that gave way to it.
    pub lost: u64,
    /// They are lost because the queue is full.
    pub is_full: bool,
    /// Somebody removed the queue's folder, and it is made again. What waited there is found missing when it is read.
    pub was_removed: bool,
    /// What the disk said. Without loss, it was only the account or a sync that failed; both are tried again.
    pub error: Option<io::Error>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Batch {
    /// Pieces in the order in which they were appended, with none missing between them.
    pub pieces: Vec<Piece>,
    /// Points before them that could not be read any more, and are counted as lost by now.
    pub damaged: u64,
}

/// What was counted when pieces were settled.
#[derive(Debug, Default)]
pub struct Settled {
    /// Points counted as acknowledged.
    pub acknowledged: u64,
    /// Points counted as lost.
    pub lost: u64,
    /// What the disk said: the count holds, but a crash before the next one that can be written sends pieces again.
    pub error: Option<io::Error>,
}

impl Queue {
    /// Makes an empty queue under `root`.
    ///
    /// # Errors
    /// When there is one already, a name cannot be that of a folder, or the disk does not take it.
    pub fn create(root: &Path, about: About, limits: Limits) -> Result<Self, SpoolError> {
        let folder = about.folder(root)?;
        fs::create_dir_all(&folder).map_err(SpoolError::io(folder.clone()))?;
        let exists = || SpoolError::Exists { path: folder.clone() };
        let lock = folder::lock(&folder)?.ok_or_else(exists)?;
        if folder::is_queue(&folder) {
            return Err(exists());
        }
        let account = folder::open_account(&folder)?;
        let cursor = Place { segment: 1, offset: SEGMENT_HEAD, points: 0 };
        let standing = Standing {
            cursor,
            logged: 0,
            refused: 0,
            acknowledged: 0,
            last_second: None,
            passed_by: 0,
            ended: false,
        };
        let mut queue = Self::new(folder, about, limits, (lock, account), (standing, 0));
        match queue.begin() {
            Ok(()) => Ok(queue),
            Err(error) => {
                // What is no queue nobody would ever look for. Where this fails too, it stays, and does no harm.
                let _ = queue.remove();
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> Result<(), SpoolError> {
        self.write_account().map_err(SpoolError::io(folder::account(&self.folder)))?;
        // The last thing to come: whoever finds it finds a whole queue.
        self.about.write(&self.folder)?;
        if self.limits.sync != Sync::Never {
            folder::sync(&self.folder).map_err(SpoolError::io(self.folder.clone()))?;
        }
        Ok(())
    }

    /// Opens the queue in a folder; `None`: a process that lives has it open, or it is gone.
    ///
    /// Only the last segment is read, in little memory: the others are, when it is their turn.
    ///
    /// # Errors
    /// When it is damaged beyond what can be counted, holds what no queue writes, or cannot be read.
    pub fn open(folder: &Path, limits: Limits) -> Result<Option<Self>, SpoolError> {
        if !folder::is_queue(folder) {
            return Ok(None);
        }
        let Some(lock) = folder::lock(folder)? else { return Ok(None) };
        if !folder::is_queue(folder) {
            return Ok(None);
        }
        let about = About::read(folder)?;
        let seal = about.seal();
        let (segments, empty) = known_segments(folder, seal)?;
        let account = folder::open_account(folder)?;
        let account_path = folder::account(folder);
        let found = account::read(&account, seal).map_err(SpoolError::io(account_path.clone()))?;
        let (standing, written) = match found {
            account::Found::Valid(standing, written) => (Some(standing), written),
            account::Found::Damaged => (None, 0),
            account::Found::Foreign => return Err(SpoolError::Foreign { path: account_path }),
        };
        for path in empty {
            folder::remove_file(&path).map_err(SpoolError::io(path.clone()))?;
        }
        let end = LogEnd::find(folder, seal, &segments, standing.map(|standing| standing.logged))?;
        let recovered = standing.unwrap_or_else(|| standing_without_account(&segments, &end));
        let mut queue = Self::new(folder.to_owned(), about, limits, (lock, account), (recovered, written));
        queue.segments = segments;
        queue.take_up(&end)?;
        Ok(Some(queue))
    }

    fn new(
        folder: PathBuf,
        about: About,
        limits: Limits,
        (lock, account): (File, File),
        (standing, written): (Standing, u64),
    ) -> Self {
        Self {
            seal: about.seal(),
            folder,
            about,
            limits,
            lock,
            account,
            written,
            standing,
            segments: VecDeque::new(),
            tail: None,
            unsynced: Vec::new(),
            has_new_names: false,
            torn: None,
            reading: None,
            synced: Instant::now(),
            buffer: Vec::new(),
        }
    }

    /// Goes on where an earlier process stopped.
    fn take_up(&mut self, end: &LogEnd) -> Result<(), SpoolError> {
        if let Some(last) = self.segments.back_mut()
            && end.segment == last.number
            && end.offset < last.bytes
        {
            let path = folder::segment(&self.folder, last.number);
            let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(end.offset));
            cut.map_err(SpoolError::io(path))?;
            last.bytes = end.offset;
        }
        let standing = &mut self.standing;
        standing.logged = standing.logged.max(end.points);
        let logged = standing.logged;
        for segment in &mut self.segments {
            segment.points_before = segment.points_before.min(logged);
        }
        standing.passed_by = standing.passed_by.min(u64::MAX - logged);
        standing.refused = standing.refused.max(end.refused).min(u64::MAX - logged - standing.passed_by);
        standing.last_second = standing.last_second.max(end.last_second);
        self.write_account().map_err(SpoolError::io(folder::account(&self.folder)))?;
        self.remove_settled().map_err(SpoolError::io(self.folder.clone()))
    }

    /// Whose queue it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What became of its points.
    pub fn account(&self) -> Account {
        self.standing.account()
    }

    /// The last second that was appended, whatever became of it.
    pub fn last_second(&self) -> Option<u64> {
        self.standing.last_second
    }

    /// Bytes of its segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends the pieces of one report, all of them or none. Those that cannot be taken are lost and counted.
    pub fn append(&mut self, second: u64, pieces: &[Piece]) -> Appended {
        let mut appended = self.offer(second, pieces);
        if !appended.is_settled {
            let points = points_of(pieces);
            self.standing.last_second = Some(second);
            self.standing.refuse(points);
            appended.lost = appended.lost.saturating_add(points);
            appended.is_settled = true;
            // It is written with the next account where the disk does not take it now.
            let _ = self.write_account();
        }
        appended
    }

    /// As [`Self::append`], but what the disk does not take stays the caller's: [`Appended::is_settled`] says so, and
    /// nothing is counted.
    pub fn offer(&mut self, second: u64, pieces: &[Piece]) -> Appended {
        let mut appended = Appended { is_settled: true, ..Appended::default() };
        if pieces.is_empty() {
            return appended;
        }
        let points = points_of(pieces);
        let before = self.standing.lost_in_log();
        appended.was_removed = !self.is_there();
        let has_room = self.mend().and_then(|()| self.try_append(second, points, pieces));
        let gave_way = self.standing.lost_in_log() - before;
        appended.lost = gave_way;
        appended.is_full = gave_way > 0;
        match has_room {
            Ok(true) => self.standing.last_second = Some(second),
            Ok(false) => {
                appended.is_full = true;
                self.refuse_report(second, points, &mut appended);
            }
            Err(error) => {
                // What no disk would take is not kept for a better one.
                match error.kind() {
                    io::ErrorKind::InvalidInput => self.refuse_report(second, points, &mut appended),
                    _ => appended.is_settled = false,
                }
                appended.error = Some(error);
            }
        }
        if let Err(error) = self.write_account().and_then(|()| self.sync_when_due()) {
            appended.error.get_or_insert(error);
        }
        appended
    }

    fn refuse_report(&mut self, second: u64, points: u64, appended: &mut Appended) {
        self.standing.last_second = Some(second);
        self.standing.refuse(points);
        appended.lost = appended.lost.saturating_add(points);
    }

    /// Counts points as lost that there was no way to append.
    ///
    /// # Errors
    /// When it cannot be written down; it is counted.
    pub fn refuse(&mut self, points: u64) -> io::Result<()> {
        self.standing.refuse(points);
        self.write_account()
    }

    /// Counts points that the sink took although there was no way to append them.
    ///
    /// # Errors
    /// As [`Self::refuse`].
    pub fn pass_by(&mut self, points: u64) -> io::Result<()> {
        let room = u64::MAX - self.standing.account().produced;
        self.standing.passed_by += points.min(room);
        self.write_account()
    }

    /// Whether its folder is where it was. Who removes it while it is in use takes what waits with it: what is
    /// still open has no name, so that nobody could find it later.
    pub fn is_there(&self) -> bool {
        folder::is_queue(&self.folder)
    }

    /// Sees to it that what is appended next can be found again, should somebody have removed files.
    fn mend(&mut self) -> io::Result<()> {
        let is_removed = |tail: &File| tail.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        if self.tail.as_ref().is_some_and(is_removed) {
            self.tail = None;
        }
        if self.is_there() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        // Its file may be there yet, and then it is our own lock.
        self.lock.unlock()?;
        let lock = folder::lock(&self.folder).map_err(io::Error::other)?;
        self.lock = lock.ok_or_else(|| io::Error::other("another process has it"))?;
        self.account = folder::open_account(&self.folder).map_err(io::Error::other)?;
        self.tail = None;
        self.write_account()?;
        self.has_new_names = true;
        self.about.write(&self.folder).map_err(io::Error::other)
    }

    /// Whether there was room.
    fn try_append(&mut self, second: u64, points: u64, pieces: &[Piece]) -> io::Result<bool> {
        self.remove_torn()?;
        if self.standing.account().produced.checked_add(points).is_none()
            || pieces.iter().any(|piece| piece.body.len() > LONGEST_BODY)
        {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is larger than a queue takes"));
        }
        let needed = record::size_of(pieces);
        if !self.make_room(needed) {
            return Ok(false);
        }
        let appends = self.tail.is_some() && self.fits_into_tail(needed);
        let (number, at) = match self.segments.back() {
            Some(last) if appends => (last.number, last.bytes),
            _ => (self.next_number(), 0),
        };
        let report =
            ReportHead { second, points_before: self.standing.logged, refused: self.standing.refused };
        self.buffer.clear();
        if at == 0 {
            write_segment_head(&mut self.buffer, self.seal, number, self.standing.logged);
        }
        write_report(&mut self.buffer, (self.seal, number, at), report, pieces);
        self.write(number, at)?;
        self.standing.logged += points;
        Ok(true)
    }

    /// Writes the buffer at the end of the log: at `at` of the last segment, or as a new one.
    fn write(&mut self, number: u64, at: u64) -> io::Result<()> {
        if at == 0 {
            self.close_tail();
            self.tail = Some(File::create_new(folder::segment(&self.folder, number))?);
        }
        let Some(tail) = &self.tail else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = tail.write_all_at(&self.buffer, at) {
            self.torn = Some(Torn { segment: number, keep: at });
            // If this fails too, it is tried again before anything else is written.
            let _ = self.remove_torn();
            return Err(error);
        }
        let written = self.buffer.len() as u64;
        match self.segments.back_mut() {
            Some(last) if at > 0 => last.bytes += written,
            _ => {
                let points_before = self.standing.logged;
                self.segments.push_back(Segment { number, bytes: written, points_before });
                self.has_new_names = true;
            }
        }
        Ok(())
    }

    /// What is appended next begins a segment.
    fn close_tail(&mut self) {
        let is_synced = self.limits.sync == Sync::Never;
        self.unsynced.extend(self.tail.take().filter(|_| !is_synced));
    }

    fn remove_torn(&mut self) -> io::Result<()> {
        let Some(Torn { segment, keep }) = self.torn else { return Ok(()) };
        let path = folder::segment(&self.folder, segment);
        if keep == 0 {
            self.tail = None;
            folder::remove_file(&path)?;
        } else {
            match OpenOptions::new().write(true).open(path) {
                // Somebody removed it as a whole.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => file?.set_len(keep)?,
            }
        }
        self.torn = None;
        Ok(())
    }

    fn fits_into_tail(&self, needed: u64) -> bool {
        let largest = self.limits.segment_bytes.min(self.limits.bytes / 4);
        self.segments.back().is_some_and(|tail| tail.bytes + needed <= largest)
    }

    fn next_number(&self) -> u64 {
        let cursor = self.standing.cursor;
        // The cursor may stand in a segment that is gone: a new one of that number would be read from there.
        let unused = cursor.segment.saturating_add(u64::from(cursor.offset > SEGMENT_HEAD));
        self.segments.back().map_or(unused, |last| unused.max(last.number.saturating_add(1)))
    }

    /// Makes room for so many bytes of records; whether there is.
    fn make_room(&mut self, needed: u64) -> bool {
        if needed + SEGMENT_HEAD > self.limits.bytes {
            return false;
        }
        loop {
            let appends = self.tail.is_some() && self.fits_into_tail(needed);
            let added = if appends { needed } else { needed + SEGMENT_HEAD };
            if self.bytes() + added <= self.limits.bytes {
                return true;
            }
            let is_settled = self.segments.front().is_none_or(|oldest| self.is_settled(*oldest));
            if self.limits.when_full == WhenFull::DropNewest && !is_settled {
                return false;
            }
            self.drop_oldest();
        }
    }

    /// Nothing of it waits.
    fn is_settled(&self, segment: Segment) -> bool {
        let cursor = self.standing.cursor;
        segment.number < cursor.segment
            || (segment.number == cursor.segment && segment.bytes <= cursor.offset)
    }

    /// Gives up the oldest segment: what waits there is lost, also when it was read and not settled yet.
    fn drop_oldest(&mut self) {
        let Some(oldest) = self.segments.pop_front() else { return };
        if self.segments.is_empty() {
            self.tail = None;
        }
        if self.standing.cursor.segment <= oldest.number {
            let points = self.segments.front().map_or(self.standing.logged, |next| next.points_before);
            let points = points.max(self.standing.cursor.points);
            let segment = oldest.number.saturating_add(1);
            self.standing.cursor = Place { segment, offset: SEGMENT_HEAD, points };
        }
        // A file that stays is removed when the queue is opened again.
        let _ = folder::remove_file(&folder::segment(&self.folder, oldest.number));
    }

    /// Reads the oldest pieces that wait: as many as stay within so many points and bytes of bodies, and
    /// at least one if any waits. They stay until [`Self::settle`]; reading again reads the same.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn read(&mut self, points: u64, bytes: usize) -> io::Result<Batch> {
        let begin = self.standing.cursor;
        let mut batch = Batch::default();
        let read = self.read_into(&mut batch, points, bytes);
        self.reading = None;
        match read {
            Ok(place) if place > begin => self.reading = Some(place),
            Ok(_) => batch.damaged += self.give_up_to(self.end()),
            // What was counted must be told; what could not be read is tried again with the next read.
            Err(_) if batch.damaged > 0 => batch.pieces.clear(),
            Err(error) => return Err(error),
        }
        if self.standing.cursor != begin {
            // Should this fail, it is found again or written with the next account.
            let _ = self.write_account().and_then(|()| self.remove_settled());
        }
        Ok(batch)
    }

    /// Up to where it has read.
    fn read_into(&mut self, batch: &mut Batch, points: u64, bytes: usize) -> io::Result<Place> {
        let mut place = self.standing.cursor;
        let (mut points_read, mut bytes_read) = (0_u64, 0_usize);
        let first = self.segments.partition_point(|segment| segment.number < place.segment);
        for index in first..self.segments.len() {
            let segment = self.segments[index];
            let from = if segment.number == place.segment { place.offset } else { SEGMENT_HEAD };
            let Some(mut scanner) = scan(&self.folder, self.seal, segment, from)? else { continue };
            while let Some(head) = scanner.head()? {
                let is_known =
                    head.points_before < place.points || head.points_after() > self.standing.logged;
                let is_gap = head.points_before > place.points;
                points_read = points_read.saturating_add(head.points);
                bytes_read = bytes_read.saturating_add(head.length());
                let is_too_much = points_read > points || bytes_read > bytes;
                if !batch.pieces.is_empty() && !is_known && (is_too_much || is_gap) {
                    return Ok(place);
                }
                let Some(body) = scanner.body(&head)?.filter(|_| !is_known) else { continue };
                if is_gap {
                    batch.damaged += self.give_up_to(Place { points: head.points_before, ..place });
                }
                place =
                    Place { segment: segment.number, offset: scanner.offset(), points: head.points_after() };
                batch.pieces.push(Piece { points: head.points, lane: head.lane, body });
            }
        }
        Ok(place)
    }

    /// Moves the cursor over points that are lost; how many these are.
    fn give_up_to(&mut self, place: Place) -> u64 {
        let lost = place.points - self.standing.cursor.points;
        self.standing.cursor = place;
        lost
    }

    /// Where the log ends.
    fn end(&self) -> Place {
        let points = self.standing.logged;
        match self.segments.back() {
            Some(last) => Place { segment: last.number, offset: last.bytes, points },
            None => Place { points, ..self.standing.cursor },
        }
    }

    /// Settles the pieces that were read last: so many of their points were taken by the sink, and the others are lost.
    ///
    /// Pieces that gave way to newer ones meanwhile are lost already and stay so, also if the sink has taken them:
    /// of the points that are left, as many count as acknowledged as the sink took, and never more than that.
    pub fn settle(&mut self, acknowledged: u64) -> Settled {
        let Some(place) = self.reading.take().filter(|place| *place > self.standing.cursor) else {
            return Settled::default();
        };
        let points = self.give_up_to(place);
        let acknowledged = acknowledged.min(points);
        self.standing.acknowledged += acknowledged;
        let error = self.write_account().and_then(|()| self.remove_settled()).err();
        Settled { acknowledged, lost: points - acknowledged, error }
    }

    /// Removes the segments of which nothing waits.
    fn remove_settled(&mut self) -> io::Result<()> {
        let mut synced = self.limits.sync == Sync::Never;
        while let Some(oldest) = self.segments.front().copied() {
            let is_tail = self.tail.is_some() && self.segments.len() == 1;
            if !self.is_settled(oldest) || is_tail {
                return Ok(());
            }
            if !synced {
                // Should the power go, an older account must not look for what is gone.
                self.account.sync_data()?;
                synced = true;
            }
            self.segments.pop_front();
            folder::remove_file(&folder::segment(&self.folder, oldest.number))?;
        }
        Ok(())
    }

    /// Gives up everything that waits; how many points it was.
    pub fn give_up(&mut self) -> Settled {
        self.reading = None;
        let lost = self.give_up_to(self.end());
        let error = self.write_account().and_then(|()| self.remove_settled()).err();
        Settled { acknowledged: 0, lost, error }
    }

    /// Nothing more will be appended: the run has told everything.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn mark_ended(&mut self) -> io::Result<()> {
        self.standing.ended = true;
        self.write_account()?;
        if self.limits.sync == Sync::Never {
            return Ok(());
        }
        self.sync()
    }

    /// Whether the run has told everything.
    pub fn is_ended(&self) -> bool {
        self.standing.ended
    }

    /// Removes the queue from the disk, with all that waits. Without it, a queue stays when it is dropped.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        folder::remove(&self.folder, self.segments.iter().map(|segment| segment.number))
    }

    fn write_account(&mut self) -> io::Result<()> {
        self.written = self.written.saturating_add(1);
        account::write(&self.account, self.seal, &self.standing, self.written)
    }

    fn sync_when_due(&mut self) -> io::Result<()> {
        match self.limits.sync {
            Sync::Never => Ok(()),
            Sync::Every(time) if self.synced.elapsed() < time => Ok(()),
            Sync::Every(_) | Sync::Always => self.sync(),
        }
    }

    /// Makes what was appended survive a loss of power.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn sync(&mut self) -> io::Result<()> {
        self.synced = Instant::now();
        // A sync that failed does not succeed later: the system forgets what it could not write.
        for file in std::mem::take(&mut self.unsynced).iter().chain(&self.tail) {
            file.sync_data()?;
        }
        if std::mem::take(&mut self.has_new_names) {
            folder::sync(&self.folder)?;
        }
        self.account.sync_data()
    }
}

fn points_of(pieces: &[Piece]) -> u64 {
    pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.points))
}

/// What the last records of a log say.
#[derive(Debug, Clone, Copy, Default)]
struct LogEnd {
    /// The segment they lie in.
    segment: u64,
    /// Where in it the log ends.
    offset: u64,
    /// Points up to there.
    points: u64,
    /// The second of the last report.
    last_second: Option<u64>,
    /// Points that were refused before the last record.
    refused: u64,
}

impl LogEnd {
    /// Looks in the last segment, and in those before it when there is nothing valid in it. Pieces of a
    /// report that is not whole were never appended, unless they are among the `logged` points of the account;
    /// without one, nobody can tell, and they stay.
    fn find(
        folder: &Path,
        seal: Seal,
        segments: &VecDeque<Segment>,
        logged: Option<u64>,
    ) -> Result<Self, SpoolError> {
        for segment in segments.iter().rev() {
            let end = Self::of(folder, seal, *segment, logged.unwrap_or(u64::MAX));
            let path = || folder::segment(folder, segment.number);
            if let Some(end) = end.map_err(|error| SpoolError::io(path())(error))? {
                return Ok(end);
            }
        }
        Ok(Self::default())
    }

    fn of(folder: &Path, seal: Seal, segment: Segment, logged: u64) -> io::Result<Option<Self>> {
        let Some(mut scanner) = scan(folder, seal, segment, SEGMENT_HEAD)? else { return Ok(None) };
        let begin = Self {
            segment: segment.number,
            offset: SEGMENT_HEAD,
            points: segment.points_before,
            ..Self::default()
        };
        let mut end = None;
        while let Some(head) = scanner.head()? {
            if scanner.body(&head)?.is_none() {
                continue;
            }
            let end = end.get_or_insert(begin);
            if head.ends_report || head.points_after() <= logged {
                end.offset = scanner.offset();
                end.points = head.points_after();
                end.last_second = Some(head.second);
                end.refused = head.refused;
            }
        }
        Ok(end)
    }
}

/// What can be known without an account: nobody knows what became of the points before the first
/// segment, so none of them counts as acknowledged.
fn standing_without_account(segments: &VecDeque<Segment>, end: &LogEnd) -> Standing {
    let (number, points) = segments.front().map_or((1, 0), |first| (first.number, first.points_before));
    let last = segments.back().map_or(0, |last| last.points_before);
    Standing {
        cursor: Place { segment: number, offset: SEGMENT_HEAD, points },
        logged: end.points.max(points).max(last),
        refused: end.refused,
        acknowledged: 0,
        last_second: end.last_second,
        passed_by: 0,
        ended: false,
    }
}

/// The segments of a folder, and the files of those that have not even a whole head and hold nothing.
///
/// # Errors
/// When a file has the name of one and is none.
fn known_segments(folder: &Path, seal: Seal) -> Result<(VecDeque<Segment>, Vec<PathBuf>), SpoolError> {
    let (mut segments, mut empty) = (VecDeque::new(), Vec::new());
    for (number, bytes) in Contents::of(folder)?.segments {
        let path = folder::segment(folder, number);
        match begin_of(folder, seal, number, bytes).map_err(SpoolError::io(path.clone()))? {
            Begin::After(points_before) => segments.push_back(Segment { number, bytes, points_before }),
            Begin::Nowhere => empty.push(path),
            Begin::Foreign => return Err(SpoolError::Foreign { path }),
        }
    }
    Ok((segments, empty))
}

/// Where a segment begins.
enum Begin {
    /// After so many points.
    After(u64),
    /// There is nothing in it.
    Nowhere,
    /// It is none of this queue's.
    Foreign,
}

fn begin_of(folder: &Path, seal: Seal, number: u64, bytes: u64) -> io::Result<Begin> {
    let mut head = Vec::new();
    File::open(folder::segment(folder, number))?.take(SEGMENT_HEAD).read_to_end(&mut head)?;
    match SegmentHead::read(&head, seal, number) {
        SegmentHead::Valid(points) => return Ok(Begin::After(points)),
        SegmentHead::Cut => return Ok(Begin::Nowhere),
        SegmentHead::Unknown => {}
    }
    // A damaged head is no reason to give up records that are whole, and these say whose it is.
    let segment = Segment { number, bytes, points_before: 0 };
    let first = match scan(folder, seal, segment, SEGMENT_HEAD)? {
        Some(mut scanner) => scanner.head()?,
        None => None,
    };
    Ok(match first {
        Some(first) => Begin::After(first.points_before),
        // What a file is like whose bytes were not on the disk yet when the power went.
        None if head.iter().all(|byte| *byte == 0) => Begin::Nowhere,
        None => Begin::Foreign,
    })
}

/// Reads a segment from a place in it; `None`: there is nothing.
fn scan(
    folder: &Path,
    seal: Seal,
    segment: Segment,
    begin: u64,
) -> io::Result<Option<Scanner<io::Take<File>>>> {
    let Some(length) = segment.bytes.checked_sub(begin).filter(|length| *length > 0) else { return Ok(None) };
    let mut file = match File::open(folder::segment(folder, segment.number)) {
        // What is missing is counted as lost, as what is damaged.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    file.seek(SeekFrom::Start(begin))?;
    Ok(Some(Scanner::new(file.take(length), seal, segment.number, begin)))
}

/// A program that is being started has all our files open for a moment, and the lock with them.
impl Drop for Queue {
    fn drop(&mut self) {
        // It fails only where the lock is not held.
        let _ = self.lock.unlock();
    }
}

impl Standing {
    pub(super) fn account(&self) -> Account {
        Account {
            produced: self.logged + self.refused + self.passed_by,
            acknowledged: self.acknowledged + self.passed_by,
            backlog: self.logged - self.cursor.points,
            lost: self.lost_in_log() + self.refused,
        }
    }

    fn lost_in_log(&self) -> u64 {
        self.cursor.points - self.acknowledged
    }

    fn refuse(&mut self, points: u64) {
        // Only who forges files comes near the limit.
        self.refused = self.refused.saturating_add(points).min(u64::MAX - self.logged - self.passed_by);
    }
}
