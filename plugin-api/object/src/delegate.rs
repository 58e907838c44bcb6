//! The thin layer between a plugin's type, which must be its own, and [`Objects`](crate::Objects).

/// Implements [`Storage`](windlass_plugin_api::Storage) for a plugin's type by its field `objects`. `by_hand` is a method
/// of the type.
#[macro_export]
macro_rules! storage_of_objects {
    ($plugin:ty) => {
        impl windlass_plugin_api::Storage for $plugin {
            fn create(
                &self,
                cx: &windlass_plugin_api::Context,
                key: &str,
                how: &windlass_plugin_api::CreateOptions,
            ) -> windlass_plugin_api::Result<Box<dyn windlass_plugin_api::Upload>> {
                self.objects.create(cx, key, how)
            }

            fn open(
                &self,
                cx: &windlass_plugin_api::Context,
                key: &str,
                range: Option<windlass_plugin_api::ByteRange>,
            ) -> windlass_plugin_api::Result<windlass_plugin_api::Reader> {
                self.objects.open(cx, key, range)
            }

            fn stat(
                &self,
                cx: &windlass_plugin_api::Context,
                key: &str,
            ) -> windlass_plugin_api::Result<Option<windlass_plugin_api::Object>> {
                self.objects.stat(cx, key)
            }

            fn list(
                &self,
                cx: &windlass_plugin_api::Context,
                what: &windlass_plugin_api::ListOptions,
            ) -> windlass_plugin_api::Result<windlass_plugin_api::Page> {
                self.objects.list(cx, what)
            }

            fn delete(
                &self,
                cx: &windlass_plugin_api::Context,
                keys: &[String],
            ) -> windlass_plugin_api::Result<Vec<windlass_plugin_api::Result<()>>> {
                self.objects.delete(cx, keys)
            }

            fn leftovers(
                &self,
                cx: &windlass_plugin_api::Context,
                prefix: &str,
            ) -> windlass_plugin_api::Result<Vec<windlass_plugin_api::Leftover>> {
                self.objects.leftovers(cx, prefix)
            }

            fn discard(
                &self,
                cx: &windlass_plugin_api::Context,
                leftovers: &[windlass_plugin_api::Leftover],
            ) -> windlass_plugin_api::Result<()> {
                self.objects.discard(cx, leftovers)
            }

            fn check(
                &self,
                cx: &windlass_plugin_api::Context,
            ) -> windlass_plugin_api::Result<windlass_plugin_api::StorageReport> {
                self.objects.check(cx)
            }

            fn by_hand(&self, key: &str) -> Option<String> {
                self.by_hand(key)
            }
        }
    };
}
