//! Files that aren't pictures, or not whole.

use super::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::picture("photo.jpg", ""),
        Case::picture("photo.jpg", "no picture at all"),
        Case::picture("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
        Case::picture("photo.png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"),
        Case::picture("photo.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"),
        Case::picture("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        Case::picture("photo.jpg", "<!DOCTYPE html>\n<html></html>"),
        Case::picture("photo.jpg", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 17\n"),
        Case::picture("photo.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
        Case::picture("photo.tiff", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
        Case::picture("photo.webp", b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0"),
        Case::picture("photo.gif", b"GIF89a\x01\0\x01\0"),
        Case::picture("photo.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
        Case::picture("photo.jp2", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 "),
        Case::picture("photo.jxl", b"\xff\x0a\xfa\x1f\x41\x91\x08"),
        Case::picture("photo.psd", b"8BPS\0\x01\0\0\0\0\0\0\0\x03"),
        Case::picture("video.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"),
        Case::picture("input.f32", b"1234"),
        Case::picture("photos/", ""),
    ]
}
